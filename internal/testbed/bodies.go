package testbed

// BrokenBodies are chunked bodies whose framing is broken, by what is wrong: nobody
// knows where one of them ends.
func BrokenBodies() map[string]string {
	return map[string]string{
		"no size":                   "ZZ\r\n",
		"a size with a prefix":      "0x2\r\n{}\r\n0\r\n\r\n",
		"a size that is too large":  "10000000000000002\r\n{}\r\n0\r\n\r\n",
		"no line end":               "2\r\n{}xx",
		"a bare line feed":          "2;\n\r\n{}\r\n0\r\n\r\n",
		"broken after a good chunk": "2\r\n{}\r\n-1\r\n",
	}
}
