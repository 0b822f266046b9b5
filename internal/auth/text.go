package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strings"
)

// A secret's text is its prefix, 256 random bits and a checksum: scanners find
// leaked ones, and a mistyped one is refused without asking the database. It is
// shown once and stored as its SHA-256, which nobody can turn back: there is
// nothing to guess that a slow hash would have to protect.
const (
	tokenPrefix      = "berth_"
	invitationPrefix = "berth_inv_"
	sessionPrefix    = "berth_ses_"

	randomLen = 43 // base64url characters of 32 bytes
	checkLen  = 6  // base64url characters of 4 bytes
	shownLen  = len(tokenPrefix) + 8
)

func newText(prefix string) string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: it crashes the program instead
	body := base64.RawURLEncoding.EncodeToString(b[:])
	return prefix + body + checksum(body)
}

func checksum(body string) string {
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(body))))
}

func wellFormed(prefix, text string) bool {
	rest, ok := strings.CutPrefix(text, prefix)
	return ok && len(rest) == randomLen+checkLen && checksum(rest[:randomLen]) == rest[randomLen:]
}

func hash(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}
