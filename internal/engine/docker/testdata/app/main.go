// Command app is what the tests of the engine run in containers.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

const file = "/data/value"

func main() {
	for _, arg := range os.Args[1:] { // what the tests ask for
		if n, ok := strings.CutPrefix(arg, "exit:"); ok {
			code, err := strconv.Atoi(n)
			if err != nil {
				code = 64
			}
			os.Exit(code)
		}
		if text, ok := strings.CutPrefix(arg, "err:"); ok {
			fmt.Fprintln(os.Stderr, text)
		} else {
			fmt.Println(arg)
		}
	}
	http.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	secrets := atStart("/run/secrets")
	http.HandleFunc("/secret", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, secrets[r.FormValue("name")])
	})
	http.HandleFunc("/env", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, os.Getenv(r.FormValue("name")))
	})
	http.Handle("/count", &counter{})
	http.HandleFunc("/put", func(w http.ResponseWriter, r *http.Request) {
		if err := os.WriteFile(file, []byte(r.FormValue("v")), 0o600); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	http.HandleFunc("/get", func(w http.ResponseWriter, _ *http.Request) {
		data, err := os.ReadFile(file)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(data)
	})
	http.HandleFunc("/lookup", func(w http.ResponseWriter, r *http.Request) {
		addrs, err := net.DefaultResolver.LookupHost(r.Context(), r.FormValue("name"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		slices.Sort(addrs)
		_, _ = io.WriteString(w, strings.Join(addrs, " "))
	})
	if err := http.ListenAndServe(":"+os.Getenv("PORT"), nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// counter writes numbered lines, to both streams in turn.
type counter struct {
	mu   sync.Mutex
	last int
}

func (c *counter) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, _ := strconv.Atoi(r.FormValue("n")) // none, then
	for ; n > 0; n-- {
		c.last++
		out := os.Stdout
		if c.last%2 == 0 {
			out = os.Stderr
		}
		fmt.Fprintln(out, "line", c.last)
	}
}

// atStart returns mode, owner and content of what is in a directory now.
func atStart(dir string) map[string]string {
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return all
	}
	for _, entry := range entries {
		name := filepath.Join(dir, entry.Name())
		data, err := os.ReadFile(name)
		info, err2 := os.Lstat(name)
		if err := errors.Join(err, err2); err != nil {
			all[entry.Name()] = err.Error()
			continue
		}
		owner := info.Sys().(*syscall.Stat_t)
		all[entry.Name()] = fmt.Sprintf("%04o %d:%d %s", info.Mode().Perm(), owner.Uid, owner.Gid, data)
	}
	return all
}
