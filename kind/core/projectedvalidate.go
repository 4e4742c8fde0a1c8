package core

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// projection checks the sources of a projected volume, which share one folder.
type projection struct {
	volume *field.Path
	taken  map[string]bool // paths of files
	errs   field.ErrorList
}

func validateProjected(pv *corev1.ProjectedVolumeSource, fp *field.Path) field.ErrorList {
	v := &projection{volume: fp, taken: make(map[string]bool)}
	v.add(fileMode(fp.Child("defaultMode"), pv.DefaultMode))
	v.add(userIn(fp, "defaultUser", pv.DefaultUser))
	for i := range pv.Sources {
		s, p := &pv.Sources[i], fp.Child("sources").Index(i)
		n := 0
		if s.Secret != nil {
			n++
			v.items(s.Secret.Name, s.Secret.Items, p.Child("secret"))
		}
		if s.ConfigMap != nil {
			n++
			v.items(s.ConfigMap.Name, s.ConfigMap.Items, p.Child("configMap"))
		}
		if s.DownwardAPI != nil {
			n++
			for j := range s.DownwardAPI.Items {
				file := &s.DownwardAPI.Items[j]
				v.add(validateDownwardFile(file, p.Child("downwardAPI")))
				v.take(file.Path, file.Path)
			}
		}
		if s.ServiceAccountToken != nil {
			n++
			v.token(s.ServiceAccountToken, p.Child("serviceAccountToken"))
		}
		if s.ClusterTrustBundle != nil {
			n++
			v.trustBundle(s.ClusterTrustBundle, p.Child("clusterTrustBundle"))
		}
		if s.PodCertificate != nil {
			n++
			v.certificate(s.PodCertificate, p.Child("podCertificate"))
		}
		if n > 1 {
			v.add(field.ErrorList{field.Forbidden(p, "may not specify more than 1 volume type per source")})
		}
	}
	return v.errs
}

func (v *projection) add(errs field.ErrorList) { v.errs = append(v.errs, errs...) }

// take notes the path of a file. what is what the error tells of a second one.
func (v *projection) take(file, what string) {
	if file == "" {
		return
	}
	if v.taken[file] {
		v.errs = append(v.errs, field.Invalid(v.volume, what, "conflicting duplicate paths"))
	}
	v.taken[file] = true
}

func (v *projection) items(name string, items []corev1.KeyToPath, p *field.Path) {
	v.add(required(p.Child("name"), name))
	v.add(validateItems(items, p.Child("items")))
	for _, item := range items {
		v.take(item.Path, name)
	}
}

// token checks a service account's token. Upstream reports its path on the volume, and lets it clash.
func (v *projection) token(t *corev1.ServiceAccountTokenProjection, p *field.Path) {
	if s := t.ExpirationSeconds; s != nil {
		switch {
		case *s < 10*60:
			v.errs = append(v.errs, field.Invalid(p.Child("expirationSeconds"), *s, "may not specify a duration less than 10 minutes"))
		case *s > 1<<32:
			v.errs = append(v.errs, field.Invalid(p.Child("expirationSeconds"), *s, "may not specify a duration larger than 2^32 seconds"))
		}
	}
	if t.Path == "" {
		v.errs = append(v.errs, field.Required(v.volume.Child("path"), ""))
	} else {
		v.add(localPath(v.volume.Child("path"), t.Path))
	}
	v.add(userIn(p, "user", t.User))
}

// trustBundle checks trust anchors, of one bundle or of all that a signer has (KEP-3257).
func (v *projection) trustBundle(b *corev1.ClusterTrustBundleProjection, p *field.Path) {
	switch {
	case b.Name != nil && b.SignerName != nil:
		v.errs = append(v.errs, field.Invalid(p, b, "only one of name and signerName may be used"))
	case b.Name != nil:
		if *b.Name == "" {
			v.errs = append(v.errs, field.Required(p.Child("name"), "must be a valid object name"))
		}
		// A bundle of a signer is named after it: the signer's name with colons for slashes, a colon, and a name.
		for _, msg := range apivalidation.NameIsDNSSubdomain((*b.Name)[strings.LastIndexByte(*b.Name, ':')+1:], false) {
			v.errs = append(v.errs, field.Invalid(p.Child("name"), *b.Name, fmt.Sprintf("not a valid clustertrustbundlename: %v", msg)))
		}
		if b.LabelSelector != nil {
			v.errs = append(v.errs, field.Invalid(p.Child("labelSelector"), b.LabelSelector, "labelSelector must be unset if name is specified"))
		}
	case b.SignerName != nil:
		if *b.SignerName == "" {
			v.errs = append(v.errs, field.Required(p.Child("signerName"), "must be a valid signer name"))
		}
		v.add(validateSignerName(*b.SignerName, p.Child("signerName")))
		v.add(metavalidation.ValidateLabelSelector(b.LabelSelector, metavalidation.LabelSelectorValidationOptions{}, p.Child("labelSelector")))
	default:
		v.errs = append(v.errs, field.Required(p, "either name or signerName must be specified"))
	}
	v.add(required(p.Child("path"), b.Path))
	v.add(userIn(p, "user", b.User))
	v.add(localPath(p.Child("path"), b.Path))
	v.take(b.Path, b.Path)
}

// certificate checks a key and a certificate that the node asks a signer for (KEP-4317).
func (v *projection) certificate(c *corev1.PodCertificateProjection, p *field.Path) {
	const shortest, longest, longestOfOurs = 3600, 91 * 24 * 3600, 24 * 3600 // seconds; kubernetes.io signers give a day
	v.add(validateSignerName(c.SignerName, p.Child("signerName")))
	if c.UserAnnotations != nil {
		v.add(apivalidation.ValidateAnnotations(c.UserAnnotations, p.Child("userAnnotations")))
	}
	v.add(userIn(p, "user", c.User))
	v.add(supported(p.Child("keyType"), c.KeyType, "RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"))
	if s := c.MaxExpirationSeconds; s != nil {
		most := int32(longest)
		if domain, _, _ := strings.Cut(c.SignerName, "/"); domain == "kubernetes.io" || strings.HasSuffix(domain, ".kubernetes.io") {
			most = longestOfOurs
		}
		if *s < shortest {
			v.errs = append(v.errs, field.Invalid(p.Child("maxExpirationSeconds"), *s, fmt.Sprintf("if provided, maxExpirationSeconds must be >= %d", shortest)))
		}
		if *s > most {
			v.errs = append(v.errs, field.Invalid(p.Child("maxExpirationSeconds"), *s, fmt.Sprintf("if provided, maxExpirationSeconds must be <= %d", most)))
		}
	}
	files := 0
	for _, f := range []struct{ name, path string }{
		{"credentialBundlePath", c.CredentialBundlePath}, {"keyPath", c.KeyPath}, {"certificateChainPath", c.CertificateChainPath},
	} {
		if f.path != "" {
			files++
			v.add(localPath(p.Child(f.name), f.path))
			v.take(f.path, f.path)
		}
	}
	if files == 0 {
		v.errs = append(v.errs, field.Required(p, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"))
	}
}

// validateSignerName checks a name such as "example.com/signer": a domain, and a path of labels.
func validateSignerName(name string, p *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(p, "")}
	}
	domain, rest, ok := strings.Cut(name, "/")
	if !ok || strings.Contains(rest, "/") {
		return field.ErrorList{field.Invalid(p, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")}
	}
	var errs field.ErrorList
	const longestDomain = validation.DNS1123SubdomainMaxLength
	if len(domain) > longestDomain {
		errs = append(errs, field.TooLong(p, "", longestDomain))
	}
	// The first label that is wrong is enough.
	labels := func(segment string, check func(string) []string) {
		for label := range strings.SplitSeq(segment, ".") {
			if msgs := check(label); len(msgs) > 0 {
				for _, msg := range msgs {
					errs = append(errs, field.Invalid(p, segment, fmt.Sprintf("validating label %q: %s", label, msg)))
				}
				return
			}
		}
	}
	labels(domain, validation.IsDNS1123Label)
	if !strings.Contains(domain, ".") {
		errs = append(errs, field.Invalid(p, domain, "should be a domain with at least two segments separated by dots"))
	}
	labels(rest, validation.IsDNS1123Subdomain)
	// A domain, a slash, and a label and a domain with a dot between.
	const longest = longestDomain + 1 + validation.DNS1123LabelMaxLength + 1 + validation.DNS1123SubdomainMaxLength
	if len(name) > longest {
		errs = append(errs, field.TooLong(p, "", longest))
	}
	return errs
}
