package docker

import (
	"encoding/binary"

	"github.com/unite-hub/berth"
)

// holdPath is where the program lies that keeps a volume mounted.
const holdPath = "/.berth-hold"

// pauses are the instructions of pause(2) in a loop, by what the Engine calls
// its architecture.
var pauses = map[string]struct {
	machine uint16 // e_machine
	code    []byte
}{
	"x86_64": {62, []byte{0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7}}, // mov eax, 34; syscall; back to the first
	// It has no pause. ppoll with nothing to wait for waits for ever:
	// mov x0..x3, 0; mov x8, 73; svc 0; back to the first.
	"aarch64": {183, []byte{
		0x00, 0x00, 0x80, 0xd2, 0x01, 0x00, 0x80, 0xd2, 0x02, 0x00, 0x80, 0xd2, 0x03, 0x00, 0x80, 0xd2,
		0x28, 0x09, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, 0xfa, 0xff, 0xff, 0x17,
	}},
}

// holdProgram is a whole ELF file that waits for ever: images need not hold any
// program that does.
func holdProgram(architecture string) ([]byte, error) {
	p, ok := pauses[architecture]
	if !ok {
		return nil, berth.Errorf(berth.CodeNotSupportedYet, "Secrets can't be delivered as files to containers of architecture %s", berth.Quote(architecture)).
			WithHint("leave secrets out of the blueprint: they are delivered as environment then")
	}
	const base, header, segment = 0x400000, 64, 56
	size := uint64(header + segment + len(p.code))
	le := binary.LittleEndian
	b := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 9)...)
	b = le.AppendUint16(b, 2) // executable
	b = le.AppendUint16(b, p.machine)
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, base+header+segment) // entry point
	b = le.AppendUint64(b, header)              // of the program headers
	b = le.AppendUint64(b, 0)
	b = le.AppendUint32(b, 0)
	for _, n := range []uint16{header, segment, 1, 0, 0, 0} {
		b = le.AppendUint16(b, n)
	}
	b = le.AppendUint32(b, 1) // load
	b = le.AppendUint32(b, 5) // read, execute
	for _, n := range []uint64{0, base, base, size, size, 0x1000} {
		b = le.AppendUint64(b, n)
	}
	return append(b, p.code...), nil
}
