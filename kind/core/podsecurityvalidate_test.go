package core_test

import (
	"strings"
	"testing"
)

func TestPodSecurityContext(t *testing.T) {
	sc := func(fields string) string { return inSpec(`securityContext: {` + fields + `}`) }
	const at, id = `spec.securityContext.`, `: Invalid value: -1: must be between 0 and 2147483647, inclusive`
	refusePods(t, []podCase{
		{sc(`runAsUser: -1, runAsGroup: -1, fsGroup: -1, supplementalGroups: [1, -1]`), wants(at, each(id, "runAsUser", "runAsGroup", "fsGroup", "supplementalGroups[1]")...)},
		{sc(`fsGroupChangePolicy: Often`), wants(at, `fsGroupChangePolicy: Unsupported value: "Often": supported values: "Always", "OnRootMismatch"`)},
		{sc(`supplementalGroupsPolicy: Loose`), wants(at, `supplementalGroupsPolicy: Unsupported value: "Loose": supported values: "Merge", "Strict"`)},
		{sc(`seLinuxChangePolicy: Never`), wants(at, `seLinuxChangePolicy: Unsupported value: "Never": supported values: "MountOption", "Recursive"`)},
		{sc(`sysctls: [{name: net/ipv4/ip_forward, value: "1"}, {name: kernel.shm_rmid_forced, value: "1"}]`), nil},
		{sc(`sysctls: [{value: x}, {name: a, value: x}, {name: a, value: x}, {name: a..b, value: x}, {name: a-, value: x}, {name: A, value: x}]`), wants(at+`sysctls`,
			`[0].name: Required value`, `[2].name: Duplicate value: "a"`,
			`[3].name: Invalid value: "a..b": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$`,
			`[4].name: Invalid value: "a-"`, `[5].name: Invalid value: "A"`)},
		{sc(`sysctls: [{name: ` + strings.Repeat("a", 254) + `, value: x}]`), wants(at, `sysctls[0].name: Invalid value`)},
		{inSpec(`hostNetwork: true, securityContext: {sysctls: [{name: net.core.somaxconn, value: "1"}]}`), wants(at, `sysctls[0].name: Invalid value: "net.core.somaxconn": may not be specified when 'hostNetwork' is true`)},
		{inSpec(`hostIPC: true, securityContext: {sysctls: [{name: kernel.msgmax, value: "1"}]}`), wants(at, `sysctls[0].name: Invalid value: "kernel.msgmax": may not be specified when 'hostIPC' is true`)},
	})
}

func TestSeccompProfiles(t *testing.T) {
	sc := func(fields string) string { return inSpec(`securityContext: {seccompProfile: {` + fields + `}}`) }
	const at = `spec.securityContext.seccompProfile.`
	refusePods(t, []podCase{
		{sc(`type: RuntimeDefault`), nil},
		{sc(`type: Localhost, localhostProfile: a/b.json`), nil},
		{sc(``), wants(at, `type: Required value: type is required when seccompProfile is set`)},
		{sc(`type: Strict`), wants(at, `type: Unsupported value: "Strict": supported values: "Localhost", "RuntimeDefault", "Unconfined"`)},
		{sc(`type: Localhost`), wants(at, `localhostProfile: Required value: must be set when seccomp type is Localhost`)},
		{sc(`type: Localhost, localhostProfile: /a`), wants(at, `localhostProfile: Invalid value: "/a": must be a relative path`)},
		{sc(`type: Localhost, localhostProfile: ../a`), wants(at, `localhostProfile: Invalid value: "../a": must not contain '..'`)},
		{sc(`type: Unconfined, localhostProfile: a`), wants(at, `localhostProfile: Invalid value: {"type":"Unconfined","localhostProfile":"a"}: can only be set when seccomp type is Localhost`)},
		{inContainer(`securityContext: {seccompProfile: {type: Localhost}}`), wants(`spec.containers[0].securityContext.`, `seccompProfile.localhostProfile: Required value`)},
	})
}

func TestAppArmorProfiles(t *testing.T) {
	sc := func(fields string) string { return inContainer(`securityContext: {appArmorProfile: {` + fields + `}}`) }
	const at = `spec.containers[0].securityContext.appArmorProfile.`
	refusePods(t, []podCase{
		{sc(`type: Localhost, localhostProfile: a`), nil},
		{sc(``), wants(at, `type: Required value: type is required when appArmorProfile is set`)},
		{sc(`type: Strict`), wants(at, `type: Unsupported value: "Strict": supported values: "Localhost", "RuntimeDefault", "Unconfined"`)},
		{sc(`type: Localhost`), wants(at, `localhostProfile: Required value: must be set when AppArmor type is Localhost`)},
		{sc(`type: Localhost, localhostProfile: ""`), wants(at, `localhostProfile: Required value: must be set when AppArmor type is Localhost`)},
		{sc(`type: Localhost, localhostProfile: " a"`), wants(at, `localhostProfile: Invalid value: " a": must not be padded with whitespace`)},
		{sc(`type: Localhost, localhostProfile: ` + strings.Repeat("a", 4096)), wants(at, `localhostProfile: Too long: may not be more than 4095 bytes`)},
		{sc(`type: RuntimeDefault, localhostProfile: a`), wants(at, `localhostProfile: Invalid value: "a": can only be set when AppArmor type is Localhost`)},
		{inSpec(`securityContext: {appArmorProfile: {type: Localhost}}`), wants(`spec.securityContext.`, `appArmorProfile.localhostProfile: Required value`)},
	})
}

func TestContainerSecurityContext(t *testing.T) {
	sc := func(fields string) string { return inContainer(`securityContext: {` + fields + `}`) }
	const at = `spec.containers[0].securityContext`
	refusePods(t, []podCase{
		{sc(`runAsUser: -1, runAsGroup: 3000000000`), wants(at, `.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive`, `.runAsGroup: Invalid value: 3000000000: must be between 0 and 2147483647, inclusive`)},
		{sc(`procMount: Half`), wants(at, `.procMount: Unsupported value: "Half": supported values: "Default", "Unmasked"`)},
		{sc(`procMount: Unmasked`), wants(at, ".procMount: Invalid value: \"Unmasked\": `hostUsers` must be false to use `Unmasked`")},
		{`{spec: {hostUsers: false, containers: [{name: c, image: i, securityContext: {procMount: Unmasked}}]}}`, nil},
		{sc(`privileged: true, allowPrivilegeEscalation: false`), wants(at, `: Invalid value: {"privileged":true,"allowPrivilegeEscalation":false}: cannot set `+"`allowPrivilegeEscalation` to false and `privileged` to true")},
		{sc(`allowPrivilegeEscalation: false, capabilities: {add: [CAP_SYS_ADMIN, NET_ADMIN]}`), wants(at, `: Invalid value: {"capabilities":`)},
	})
}

func TestWindowsOptions(t *testing.T) {
	options := func(fields string) string { return inSpec(`securityContext: {windowsOptions: {` + fields + `}}`) }
	user := func(name string) string { return options(`runAsUserName: '` + name + `'`) }
	const at = `spec.securityContext.windowsOptions.`
	bad := func(name, why string) podCase {
		return podCase{user(name), wants(at, `runAsUserName: Invalid value: `+why)}
	}
	refusePods(t, []podCase{
		{options(`gmsaCredentialSpecName: a.b, gmsaCredentialSpec: x, runAsUserName: 'EXAMPLE\user'`), nil},
		{user(`corp.example.com\user`), nil},
		{options(`gmsaCredentialSpecName: A`), wants(at, `gmsaCredentialSpecName: Invalid value: "A": `+notSubdomain)},
		{options(`gmsaCredentialSpec: ""`), wants(at, `gmsaCredentialSpec: Invalid value: "": gmsaCredentialSpec cannot be an empty string`)},
		{options(`gmsaCredentialSpec: ` + strings.Repeat("a", 64<<10+1)), wants(at, `gmsaCredentialSpec: Invalid value: "aaa`)},
		bad(``, `"": runAsUserName cannot be an empty string`),
		{options(`runAsUserName: "a\tb"`), wants(at, `runAsUserName: Invalid value: "a\tb": runAsUserName cannot contain control characters`)},
		bad(`a\b\c`, `"a\\b\\c": runAsUserName cannot contain more than one backslash`),
		bad(`a\`, `"a\\": runAsUserName's User cannot be empty`),
		bad(`.a\b`, `".a\\b": runAsUserName's Domain doesn't match the NetBios nor the DNS format`),
		bad(`\b`, `"\\b": runAsUserName's Domain doesn't match the NetBios nor the DNS format`),
		bad(strings.Repeat(strings.Repeat("a", 60)+".", 4)+strings.Repeat("a", 20)+`\b`, `"aaa`),
		bad(strings.Repeat("a", 105), `"aaa`),
		bad(`. .`, `". .": runAsUserName's User cannot contain only periods or spaces`),
		bad(`a@b`, `"a@b": runAsUserName's User cannot contain the following characters: "/\:;|=,+*?<>@[]`),
	})
}

func TestPodAnnotations(t *testing.T) {
	annotated := func(key, value, spec string) string {
		return `{metadata: {annotations: {"` + key + `": '` + value + `'}}, spec: {` + spec + `}}`
	}
	const at, seccomp, appArmor = `metadata.annotations`, `seccomp.security.alpha.kubernetes.io/pod`, `container.apparmor.security.beta.kubernetes.io/c`
	const container = `container.seccomp.security.alpha.kubernetes.io/c`
	refusePods(t, []podCase{
		{annotated(`kubernetes.io/config.mirror`, `x`, ``), wants(at, `[kubernetes.io/config.mirror]: Invalid value: "x": must set spec.nodeName if mirror pod annotation is set`)},
		{annotated(`controller.kubernetes.io/pod-deletion-cost`, `-7`, ``), nil},
		{annotated(`controller.kubernetes.io/pod-deletion-cost`, `+7`, ``), wants(at, `[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "+7": must be a 32bit integer`)},
		{annotated(`controller.kubernetes.io/pod-deletion-cost`, `3000000000`, ``), wants(at, `[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "3000000000": must be a 32bit integer`)},
		{annotated(`scheduler.alpha.kubernetes.io/tolerations`, `{`, ``), wants(at, `: Invalid value: "scheduler.alpha.kubernetes.io/tolerations": unexpected end of JSON input`)},
		{annotated(`scheduler.alpha.kubernetes.io/tolerations`, `[{"operator": "Like", "key": "a"}]`, ``), wants(at, `.scheduler.alpha.kubernetes.io/tolerations[0].operator: Unsupported value: "Like"`)},
		{annotated(seccomp, `docker/default`, ``), nil},
		{annotated(seccomp, `none`, ``), wants(at, `.seccomp.security.alpha.kubernetes.io/pod: Invalid value: "none": must be a valid seccomp profile`)},
		{annotated(container, `localhost//x`, ``), wants(at, `.container.seccomp.security.alpha.kubernetes.io/c: Invalid value: "/x": must be a relative path`)},
		{annotated(seccomp, `unconfined`, `securityContext: {seccompProfile: {type: RuntimeDefault}}`), wants(`spec.securityContext.`, `seccompProfile.type: Forbidden: seccomp type in annotation and field must match`)},
		{annotated(container, `localhost/x`, `containers: [{name: c, image: i, securityContext: {seccompProfile: {type: Localhost, localhostProfile: z}}}]`), wants(`spec.containers[0].securityContext.`, `seccompProfile.localhostProfile: Forbidden: seccomp profile in annotation and field must match`)},
		{annotated(container, `unconfined`, `containers: [{name: c, image: i, securityContext: {seccompProfile: {type: Localhost, localhostProfile: z}}}]`), wants(`spec.containers[0].securityContext.`, `seccompProfile.type: Forbidden: seccomp type in annotation and field must match`)},
		{annotated(container, `runtime/default`, `containers: [{name: c, image: i, securityContext: {seccompProfile: {type: Unconfined}}}]`), wants(`spec.containers[0].securityContext.`, `seccompProfile.type: Forbidden: seccomp type in annotation and field must match`)},
		{annotated(appArmor, `runtime/default`, ``), nil},
		{annotated(appArmor, `none`, ``), wants(at, `[container.apparmor.security.beta.kubernetes.io/c]: Invalid value: "none": invalid AppArmor profile name: "none"`)},
		{annotated(`container.apparmor.security.beta.kubernetes.io/x`, `unconfined`, ``), wants(at, `[container.apparmor.security.beta.kubernetes.io/x]: Invalid value: "x": container not found`)},
		{annotated(appArmor, `unconfined`, `containers: [{name: c, image: i, securityContext: {appArmorProfile: {type: RuntimeDefault}}}]`), wants(`spec.containers[0].securityContext.`, `appArmorProfile.type: Forbidden: apparmor type in annotation and field must match`)},
		{annotated(appArmor, `localhost/a`, `containers: [{name: c, image: i, securityContext: {appArmorProfile: {type: Localhost, localhostProfile: b}}}]`), wants(`spec.containers[0].securityContext.`, `appArmorProfile.localhostProfile: Forbidden: apparmor profile in annotation and field must match`)},
		{annotated(appArmor, `localhost/b`, `containers: [{name: c, image: i, securityContext: {appArmorProfile: {type: Localhost, localhostProfile: b}}}]`), nil},
	})
}
