package postgres_test

import (
	"bytes"
	"net"
	"net/url"
	"sync"
	"testing"
)

// proxy stands between a store and the server, and cuts.
type proxy struct {
	listener net.Listener

	mu       sync.Mutex
	conns    map[net.Conn]bool
	refusing bool            // takes no connection
	silent   chan struct{}   // nothing passes until it is closed; nil when all does
	onCommit func() (on cut) // asked for each COMMIT
	sent     int             // how often a client sent something
}

// cut says what happens to the connection that a COMMIT comes on.
type cut int

const (
	passes     cut = iota
	cutBefore      // the server has seen it
	cutAfter       // the server has answered it
	cutUnasked     // cutAfter, and no connection is taken any more
)

// through starts a proxy to the server and returns url by way of it.
func through(t *testing.T, to string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	target := u.Host
	p := &proxy{conns: map[net.Conn]bool{}}
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	u.Host = p.listener.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := p.listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(client, target) })
		}
	})
	t.Cleanup(func() {
		p.listener.Close()
		p.resume()
		p.cutAll()
		wg.Wait()
	})
	return p, u.String()
}

func (p *proxy) serve(client net.Conn, target string) {
	defer client.Close()
	p.mu.Lock()
	refusing := p.refusing
	p.mu.Unlock()
	if refusing {
		return
	}
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	p.note(client, server, true)
	defer p.note(client, server, false)
	answered := make(chan struct{}) // by the server, when nothing may pass to the client any more
	var asked sync.Once
	var mute bool
	var mu sync.Mutex
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer client.Close()
		buffer := make([]byte, 32<<10)
		for {
			n, err := server.Read(buffer)
			if err != nil {
				return
			}
			p.wait()
			mu.Lock()
			stop := mute
			mu.Unlock()
			if stop {
				asked.Do(func() { close(answered) })
				return
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	}()
	defer func() { server.Close(); <-done }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		p.wait()
		p.mu.Lock()
		p.sent++
		p.mu.Unlock()
		what := passes
		if bytes.Contains(buffer[:n], []byte("COMMIT\x00")) {
			what = p.commit()
		}
		if what == cutBefore {
			return
		}
		if what != passes {
			mu.Lock()
			mute = true
			mu.Unlock()
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
		if what != passes {
			<-answered
			return
		}
	}
}

func (p *proxy) commit() cut {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.onCommit == nil {
		return passes
	}
	what := p.onCommit()
	p.refusing = p.refusing || what == cutUnasked
	return what
}

// atCommits sets what happens to the next COMMITs, one each.
func (p *proxy) atCommits(list ...cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onCommit = func() cut {
		if len(list) == 0 {
			return passes
		}
		next := list[0]
		list = list[1:]
		return next
	}
}

func (p *proxy) refuse(refusing bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusing = refusing
}

func (p *proxy) note(a, b net.Conn, there bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range []net.Conn{a, b} {
		if there {
			p.conns[c] = true
		} else {
			delete(p.conns, c)
		}
	}
}

// cutAll cuts every connection.
func (p *proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// pause lets nothing pass any more; connections stay open.
func (p *proxy) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = make(chan struct{})
}

func (p *proxy) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silent != nil {
		close(p.silent)
		p.silent = nil
	}
}

func (p *proxy) wait() {
	p.mu.Lock()
	silent := p.silent
	p.mu.Unlock()
	if silent != nil {
		<-silent
	}
}
