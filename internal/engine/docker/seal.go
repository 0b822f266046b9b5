package docker

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/unite-hub/berth"
)

// Kinds of objects, as they stand in seals and in berth.Foreign.
const (
	kindContainer = "container"
	kindNetwork   = "network"
	kindVolume    = "volume"
)

// Labels that only this package reads.
const (
	labelGrace     = "com.unite-hub.berth.grace"     // seconds; how long a stop may take
	labelSecrets   = "com.unite-hub.berth.secrets"   // a container gets secrets as files; a volume or a container delivers them
	labelMade      = "com.unite-hub.berth.made"      // what a person can change on a living container, as it was made
	labelPublished = "com.unite-hub.berth.published" // the port is published on the loopback address
)

// seal proves that this installation made the object: it covers what no one
// else may choose, and needs the key.
func (e *Engine) seal(kind, name, organizationID, generation, hash string) string {
	mac := hmac.New(sha256.New, e.SealKey)
	mac.Write([]byte(strings.Join([]string{kind, name, organizationID, generation, hash}, "|")))
	return hex.EncodeToString(mac.Sum(nil))
}

// sealed adds to labels what makes an object ours, and returns them. hash is
// "" for objects that are not made from a spec.
func (e *Engine) sealed(labels map[string]string, kind, name string, s berth.Stack, hash string) map[string]string {
	generation := strconv.Itoa(s.Generation)
	labels[berth.LabelTenantID] = s.OrganizationID
	labels[berth.LabelInstallation] = e.Installation
	labels[berth.LabelGeneration] = generation
	if hash != "" {
		labels[berth.LabelSpecHash] = hash
	}
	labels[berth.LabelSeal] = e.seal(kind, name, s.OrganizationID, generation, hash)
	return labels
}

// disproof returns why an object is not provably ours, "" if it is.
func (e *Engine) disproof(kind, name string, labels map[string]string) string {
	switch seal := labels[berth.LabelSeal]; {
	case seal == "":
		return "it carries no seal"
	case labels[berth.LabelInstallation] != e.Installation:
		return "it belongs to another installation of Berth"
	case !e.fits(seal, kind, name, labels) && (kind != kindContainer || !e.fitsFormer(seal, name, labels)):
		return "its seal does not fit: its labels were copied or changed, or the key is another one"
	case !nameFits(name, labels[berth.LabelTenantID]):
		return "its name is not one of its tenant's"
	}
	return ""
}

// fits reports whether seal is that of an object with this name and labels.
func (e *Engine) fits(seal, kind, name string, labels map[string]string) bool {
	return hmac.Equal([]byte(seal), []byte(e.seal(kind, name, labels[berth.LabelTenantID], labels[berth.LabelGeneration], labels[berth.LabelSpecHash])))
}

// fitsFormer reports whether a container was sealed under another of its names:
// it is renamed when it takes another one's place and when it gives its own up,
// and its labels can't follow.
func (e *Engine) fitsFormer(seal, name string, labels map[string]string) bool {
	names := namesOf(labels[berth.LabelTenantID], labelled("", "", labels))
	return slices.Contains(names, name) && slices.ContainsFunc(names, func(former string) bool { return e.fits(seal, kindContainer, former, labels) })
}

// nameFits reports whether name is one that the tenant's objects have.
func nameFits(name, organizationID string) bool {
	rest, ok := strings.CutPrefix(name, berth.ContainerName(organizationID))
	return ok && (rest == "" || rest[0] == '_')
}
