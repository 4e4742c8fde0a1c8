package podruntime

import (
	"maps"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// resources turns CRI's limits into the OCI form, and refuses those that this machine cannot keep.
func resources(r *runtimeapi.LinuxContainerResources, facts Facts) (*specs.LinuxResources, error) {
	out := &specs.LinuxResources{}
	if r == nil {
		return out, nil
	}
	var needs []string
	need := func(controller string) { needs = append(needs, controller) }
	if r.CpuShares != 0 || r.CpuQuota != 0 || r.CpuPeriod != 0 || r.CpusetCpus != "" || r.CpusetMems != "" {
		out.CPU = &specs.LinuxCPU{Cpus: r.CpusetCpus, Mems: r.CpusetMems}
		if r.CpuShares > 0 {
			shares := uint64(r.CpuShares)
			out.CPU.Shares = &shares
			// Shares are relative: where there is no cpu controller there is nothing to be relative to.
		}
		if r.CpuQuota != 0 {
			out.CPU.Quota = &r.CpuQuota
			if r.CpuQuota > 0 {
				need("cpu")
			}
		}
		if r.CpuPeriod > 0 {
			period := uint64(r.CpuPeriod)
			out.CPU.Period = &period
		}
		if r.CpusetCpus != "" || r.CpusetMems != "" {
			need("cpuset")
		}
	}
	if r.MemoryLimitInBytes != 0 || r.MemorySwapLimitInBytes != 0 {
		out.Memory = &specs.LinuxMemory{}
		if r.MemoryLimitInBytes != 0 {
			out.Memory.Limit = &r.MemoryLimitInBytes
			if r.MemoryLimitInBytes > 0 {
				need("memory")
			}
		}
		if r.MemorySwapLimitInBytes != 0 {
			out.Memory.Swap = &r.MemorySwapLimitInBytes
		}
	}
	for _, h := range r.HugepageLimits {
		if facts.Controllers["hugetlb"] {
			out.HugepageLimits = append(out.HugepageLimits, specs.LinuxHugepageLimit{Pagesize: h.PageSize, Limit: h.Limit})
		} else if h.Limit > 0 {
			need("hugetlb")
		}
	}
	if len(r.Unified) > 0 {
		if !facts.CgroupV2 {
			return nil, status.Error(codes.InvalidArgument, "unified resources need cgroup v2, this machine has v1")
		}
		out.Unified = maps.Clone(r.Unified)
	}
	for _, c := range needs {
		if !facts.CgroupWritable {
			return nil, status.Errorf(codes.FailedPrecondition, "a %s limit was asked for, but cgroups cannot be used: %s", c, facts.CgroupReason)
		}
		if !facts.Controllers[c] {
			return nil, status.Errorf(codes.FailedPrecondition, "a %s limit was asked for, but this machine has no %s cgroup controller", c, c)
		}
	}
	if !facts.Controllers["cpu"] || !facts.CgroupWritable {
		if out.CPU != nil {
			out.CPU.Shares, out.CPU.Period, out.CPU.Quota = nil, nil, nil
		}
	}
	return out, nil
}
