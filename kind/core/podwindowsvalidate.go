package core

import (
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateWindowsOptions checks what only Windows knows. The patterns are compiled when they are needed, which no
// pod of a Linux node makes necessary.
func validateWindowsOptions(o *corev1.WindowsSecurityContextOptions, parent *field.Path) field.ErrorList {
	if o == nil {
		return nil
	}
	p := parent.Child("windowsOptions")
	var errs field.ErrorList
	if o.GMSACredentialSpecName != nil {
		errs = append(errs, subdomainIn(p, "gmsaCredentialSpecName", *o.GMSACredentialSpecName)...)
	}
	if spec := o.GMSACredentialSpec; spec != nil {
		const maxKiB = 64
		switch {
		case *spec == "":
			errs = append(errs, field.Invalid(p.Child("gmsaCredentialSpec"), *spec, "gmsaCredentialSpec cannot be an empty string"))
		case len(*spec) > maxKiB<<10:
			errs = append(errs, field.Invalid(p.Child("gmsaCredentialSpec"), *spec, fmt.Sprintf("gmsaCredentialSpec size must be under %d KiB", maxKiB)))
		}
	}
	if o.RunAsUserName != nil {
		errs = append(errs, invalids(p.Child("runAsUserName"), *o.RunAsUserName, windowsUserErrors(*o.RunAsUserName))...)
	}
	return errs
}

// windowsUserErrors says what is wrong with USER or DOMAIN\USER. See Microsoft's naming conventions in Active Directory.
func windowsUserErrors(name string) []string {
	const maxDomain, maxUser = 256, 104
	matches := func(pattern, s string) bool { return regexp.MustCompile(pattern).MatchString(s) }
	if name == "" {
		return []string{"runAsUserName cannot be an empty string"}
	}
	if matches(`[[:cntrl:]]`, name) {
		return []string{"runAsUserName cannot contain control characters"}
	}
	domain, user, hasDomain := strings.Cut(name, `\`)
	switch {
	case !hasDomain:
		domain, user = "", name
	case strings.Contains(user, `\`):
		return []string{"runAsUserName cannot contain more than one backslash"}
	}
	var msgs []string
	if len(domain) >= maxDomain {
		msgs = append(msgs, fmt.Sprintf("runAsUserName's Domain length must be under %d characters", maxDomain))
	}
	const label = `[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?`
	if hasDomain && !matches(`^[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}$`, domain) && !matches(`^`+label+`(?:\.`+label+`)*$`, domain) {
		msgs = append(msgs, "runAsUserName's Domain doesn't match the NetBios nor the DNS format")
	}
	switch {
	case user == "":
		msgs = append(msgs, "runAsUserName's User cannot be empty")
	case len(user) > maxUser:
		msgs = append(msgs, fmt.Sprintf("runAsUserName's User length must not be longer than %d characters", maxUser))
	}
	if user != "" && strings.Trim(user, ". ") == "" {
		msgs = append(msgs, "runAsUserName's User cannot contain only periods or spaces")
	}
	if strings.ContainsAny(user, `"/\:;|=,+*?<>@[]`) {
		msgs = append(msgs, `runAsUserName's User cannot contain the following characters: "/\:;|=,+*?<>@[]`)
	}
	return msgs
}
