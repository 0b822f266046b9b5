package docker

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
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
	for _, v := range e.sort(found{volumes: list}).volumes {
		n, err := walk(ctx, v.Mountpoint)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return e.diskUsage(ctx, s)
		}
		if err != nil {
			return nil, err
		}
		sizes[v.Labels[berth.LabelTenantID]] += n
	}
	return sizes, nil
}

// walk sums up what the files below a directory take up. A file with several
// names counts once; one that vanishes meanwhile does not count.
func walk(ctx context.Context, root string) (bytes int64, err error) {
	linked := map[uint64]bool{}
	seen := 0
	err = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			if path != root && errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if seen++; seen%walkBatch == 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(walkPause):
			}
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil || st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR && linked[st.Ino] {
			return nil
		}
		if st.Nlink > 1 {
			linked[st.Ino] = true
		}
		bytes += st.Blocks * 512
		return nil
	})
	return bytes, err
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
