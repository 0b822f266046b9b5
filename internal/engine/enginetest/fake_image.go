package enginetest

import (
	"context"
	"time"

	"github.com/unite-hub/berth"
)

// SetImage gives the engine an image.
func (f *Fake) SetImage(pin string, p Program) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.images[pin] = p
}

// Tag lets a reference lead to an image that the engine has.
func (f *Fake) Tag(reference, pin string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.local[reference] = pin
}

// InRegistry lets a reference lead to an image that has to be pulled, or fail
// with err when it is.
func (f *Fake) InRegistry(reference, pin string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.remote[reference] = remoteImage{pin: pin, err: err}
}

// ComesSlowly lets an image come from its registry with so many bytes a second.
func (f *Fake) ComesSlowly(reference, pin string, size, rate int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.remote[reference] = remoteImage{pin: pin, size: size, rate: rate}
}

// Resolve finds an image, or gets it from its registry.
func (f *Fake) Resolve(ctx context.Context, reference string, _ *berth.Credential, progress func(berth.Progress)) (pin string, err error) {
	tell := func(p berth.Progress) {
		if progress != nil {
			progress(p)
		}
	}
	remote, ok := remoteImage{}, false
	err = f.step(ctx, Step{Op: "resolve", Read: true}, func() error {
		if _, ok := f.images[reference]; ok {
			pin = reference
			return nil
		}
		if pin = f.local[reference]; pin != "" {
			return nil
		}
		if remote, ok = f.remote[reference]; !ok {
			return berth.Errorf(berth.CodeImageNotFound, "There is no image %s", berth.Quote(reference)).WithHint("check the name")
		}
		return nil
	})
	if err != nil || !ok {
		return pin, err
	}
	tell(berth.Progress{Step: "pull " + reference})
	for done := int64(0); done < remote.size; done += remote.rate {
		select {
		case <-time.After(time.Second):
			tell(berth.Progress{Step: "pull " + reference, Done: min(done+remote.rate, remote.size), Total: remote.size})
		case <-ctx.Done():
			return "", asError(ctx.Err(), Step{Op: "pull " + reference})
		}
	}
	err = f.step(ctx, Step{Op: "pull " + reference, Read: true}, func() error {
		if remote.err != nil {
			return remote.err
		}
		pin, f.local[reference] = remote.pin, remote.pin
		if _, ok := f.images[pin]; !ok {
			f.images[pin] = Program{}
		}
		return nil
	})
	if err == nil {
		tell(berth.Progress{Step: "pull " + reference, Done: 1, Total: 1})
	}
	return pin, err
}

// DropImage takes an image away, as a person would, whatever uses it.
func (f *Fake) DropImage(pin string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.images, pin)
}
