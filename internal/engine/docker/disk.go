package docker

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"time"

	"github.com/moby/moby/api/types/volume"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"github.com/unite-hub/berth"
)

// How gently volumes are walked: at most 5,000 files a second.
const (
	walkBatch = 250
	walkPause = 50 * time.Millisecond
)

// Disk returns how many bytes each tenant's volumes take up on the disk. Root
// file systems are read-only and hold nothing. Where the volumes can be seen
// they are walked slowly; else the Engine does it at once.
func (e *Engine) Disk(ctx context.Context) (map[string]int64, error) {
	s := step{op: "measure volumes"}
	var list []volume.Volume
	err := e.do(ctx, s, e.ReadTimeout, func(ctx context.Context) error {
		got, err := e.api.VolumeList(ctx, client.VolumeListOptions{Filters: client.Filters{}.Add("label", berth.LabelTenantID)})
		list = got.Items
		return err
	})
	if err != nil {
		return nil, err
	}
	sizes := map[string]int64{}
	unknown := map[string]bool{}
	for _, v := range e.sort(found{volumes: list}).volumes {
		org := v.Labels[berth.LabelTenantID]
		n, err := walk(ctx, v.Mountpoint)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission):
			return e.diskUsage(ctx, s)
		case err != nil:
			unknown[org] = true // one tenant's odd tree is its own trouble
		}
		sizes[org] += n
	}
	maps.DeleteFunc(sizes, func(org string, _ int64) bool { return unknown[org] })
	return sizes, nil
}

// walk sums up what the files below a directory take up. A file with several
// names counts once; one that vanishes meanwhile does not count.
func walk(ctx context.Context, root string) (int64, error) {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	w := walker{ctx: ctx, linked: map[uint64]bool{}}
	err = w.directory(os.NewFile(uintptr(fd), root), 0)
	return w.bytes, err
}

// walker walks one tree, from directory to directory by their descriptors: a
// path may be longer than the kernel takes.
type walker struct {
	ctx    context.Context
	linked map[uint64]bool // inodes with several names
	seen   int
	bytes  int64
}

const (
	deepest   = 512     // directories below each other, each with a descriptor while it is read
	mostLinks = 500_000 // files with several names that are told apart
)

var errOddTree = errors.New("the tree is too deep, or has too many links, to be measured")

// directory reads d in parts, and closes it.
func (w *walker) directory(d *os.File, depth int) error {
	defer func() { _ = d.Close() }() // it was only read
	if depth > deepest {
		return errOddTree
	}
	for {
		entries, err := d.ReadDir(walkBatch)
		for _, e := range entries {
			if err := w.entry(d, e.Name(), depth); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

func (w *walker) entry(d *os.File, name string, depth int) error {
	if w.seen++; w.seen%walkBatch == 0 {
		select {
		case <-w.ctx.Done():
			return w.ctx.Err()
		case <-time.After(walkPause):
		}
	}
	var st unix.Stat_t
	if err := unix.Fstatat(int(d.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil // it has gone
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		w.bytes += st.Blocks * 512
		fd, err := unix.Openat(int(d.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil
		}
		return w.directory(os.NewFile(uintptr(fd), name), depth+1)
	}
	if st.Nlink > 1 {
		if w.linked[st.Ino] {
			return nil
		}
		if len(w.linked) >= mostLinks {
			return errOddTree
		}
		w.linked[st.Ino] = true
	}
	w.bytes += st.Blocks * 512
	return nil
}

// diskUsage asks the Engine, which walks everything at once.
func (e *Engine) diskUsage(ctx context.Context, s step) (map[string]int64, error) {
	sizes := map[string]int64{}
	err := e.do(ctx, s, 4*e.ChangeTimeout, func(ctx context.Context) error {
		got, err := e.api.DiskUsage(ctx, client.DiskUsageOptions{Volumes: true, Verbose: true})
		for _, v := range e.sort(found{volumes: got.Volumes.Items}).volumes {
			if v.UsageData != nil && v.UsageData.Size > 0 {
				sizes[v.Labels[berth.LabelTenantID]] += v.UsageData.Size
			}
		}
		return err
	})
	return sizes, err
}
