package main

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"syscall"
)

const longestFile = 8 << 20 // bytes

// fileName excludes what begins with a dot: those are files half written.
var fileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

func (w web) putFile(rw http.ResponseWriter, r *http.Request) {
	name, ok := nameOf(rw, r)
	if !ok {
		return
	}
	body, ok := readBody(rw, r, longestFile)
	if !ok {
		return
	}
	err := putFile(w.files, name, body)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		refuse(rw, http.StatusInsufficientStorage, "the volume is full")
		return
	}
	if err != nil {
		w.fileFailed(rw, r, err)
		return
	}
	answer(rw, http.StatusCreated, map[string]any{"name": name, "size": len(body)})
}

func (w web) getFile(rw http.ResponseWriter, r *http.Request) {
	name, ok := nameOf(rw, r)
	if !ok {
		return
	}
	content, err := w.files.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		refuse(rw, http.StatusNotFound, "no such file")
		return
	}
	if err != nil {
		w.fileFailed(rw, r, err)
		return
	}
	// Never as what it claims to be: it was uploaded.
	rw.Header().Set("Content-Type", "application/octet-stream")
	rw.Header().Set("Content-Disposition", "attachment")
	_, _ = rw.Write(content) // the client may be gone
}

func (w web) fileFailed(rw http.ResponseWriter, r *http.Request, err error) {
	w.log.Error("file failed", "method", r.Method, "path", r.URL.Path, "error", err)
	refuse(rw, http.StatusInternalServerError, "the file could not be read or written")
}

func nameOf(rw http.ResponseWriter, r *http.Request) (string, bool) {
	name := r.PathValue("name")
	if !fileName.MatchString(name) {
		refuse(rw, http.StatusUnprocessableEntity, "a file's name is 1 to 100 letters, digits, dots, dashes and underscores, and begins with a letter or digit")
		return "", false
	}
	return name, true
}

// putFile writes a file that others see whole or not at all, and that a crash
// after it does not undo.
func putFile(dir *os.Root, name string, content []byte) (err error) {
	half := "." + name + "." + rand.Text()
	f, err := dir.OpenFile(half, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = dir.Remove(half)
		}
	}()
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return dir.Rename(half, name)
}
