//! What a guest is told about its processor.
//!
//! `host` passes on what KVM supports; `baseline` leaves what every x86-64 processor of the last fifteen years has
//! (SSE4.2, POPCNT, CMPXCHG16B), without XSAVE and AVX: the same guest then runs on any host, and under an emulated
//! host, where XSAVE is not whole. Leaves and bits: Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E.

use crate::config::CpuModel;
use kvm_bindings::{CpuId, KVM_CPUID_FLAG_SIGNIFCANT_INDEX, kvm_cpuid_entry2};

const LEAF_FEATURES: u32 = 0x1;
const LEAF_CACHE: u32 = 0x4;
const LEAF_STRUCTURED_FEATURES: u32 = 0x7;
const LEAF_TOPOLOGY: u32 = 0xb;
/// Leaves that tell of the host's processors; ours are made by [`topology_leaves`].
const HOST_TOPOLOGY: [u32; 4] = [LEAF_TOPOLOGY, 0x1f, 0x8000_001e, 0x8000_0026];
const LEAF_EXTENDED_FEATURES: u32 = 0x8000_0001;
const LEAF_SIZES: u32 = 0x8000_0008;

const FEATURES_ECX_TSC_DEADLINE: u32 = 1 << 24;
const FEATURES_ECX_HYPERVISOR: u32 = 1 << 31;
const FEATURES_EDX_HTT: u32 = 1 << 28;
/// AMD: leaf 0x8000001E is there.
const EXTENDED_ECX_TOPOEXT: u32 = 1 << 22;

/// SSE3, SSSE3, CX16, SSE4.1, SSE4.2, x2APIC, POPCNT, TSC deadline, RDRAND, hypervisor.
const BASELINE_FEATURES_ECX: u32 = 1 << 0
    | 1 << 9
    | 1 << 13
    | 1 << 19
    | 1 << 20
    | 1 << 21
    | 1 << 23
    | FEATURES_ECX_TSC_DEADLINE
    | 1 << 30
    | FEATURES_ECX_HYPERVISOR;
/// All of the 1999 to 2006 features, without debug store, thermal control and self-snoop.
const BASELINE_FEATURES_EDX: u32 = 0x178b_fbff;
/// LAHF in 64-bit mode.
const BASELINE_EXTENDED_ECX: u32 = 1 << 0;
/// SYSCALL, NX, 64-bit mode.
const BASELINE_EXTENDED_EDX: u32 = 1 << 11 | 1 << 20 | 1 << 29;
/// Leaves that the baseline keeps; any other is not there.
const BASELINE_LEAVES: [u32; 18] = [
    0x0,
    0x1,
    0x2,
    0x4,
    0x6,
    0x7,
    0xb,
    0x4000_0000,
    0x4000_0001,
    0x8000_0000,
    0x8000_0001,
    0x8000_0002,
    0x8000_0003,
    0x8000_0004,
    0x8000_0005,
    0x8000_0006,
    0x8000_0007,
    0x8000_0008,
];
const BASELINE_HIGHEST_LEAF: u32 = 0xb;
const BASELINE_HIGHEST_EXTENDED_LEAF: u32 = 0x8000_0008;

/// Makes the leaves of vCPU `id` out of `vcpus` from what KVM supports.
///
/// # Errors
/// Where there are more leaves than KVM takes.
pub fn for_vcpu(supported: &CpuId, model: CpuModel, id: u8, vcpus: u8) -> Result<CpuId, vmm_sys_util::fam::Error> {
    let mut leaves: Vec<kvm_cpuid_entry2> = supported
        .as_slice()
        .iter()
        .filter(|leaf| !HOST_TOPOLOGY.contains(&leaf.function))
        .filter(|leaf| model == CpuModel::Host || BASELINE_LEAVES.contains(&leaf.function))
        .copied()
        .collect();
    for leaf in &mut leaves {
        if model == CpuModel::Baseline {
            reduce_to_baseline(leaf);
        }
        set_topology(leaf, id, vcpus);
    }
    leaves.extend(topology_leaves(id, vcpus));
    CpuId::from_entries(&leaves)
}

fn reduce_to_baseline(leaf: &mut kvm_cpuid_entry2) {
    match leaf.function {
        0x0 => leaf.eax = BASELINE_HIGHEST_LEAF,
        LEAF_FEATURES => {
            leaf.ecx &= BASELINE_FEATURES_ECX;
            leaf.edx &= BASELINE_FEATURES_EDX;
        }
        LEAF_STRUCTURED_FEATURES => (leaf.eax, leaf.ebx, leaf.ecx, leaf.edx) = (0, 0, 0, 0),
        0x8000_0000 => leaf.eax = leaf.eax.min(BASELINE_HIGHEST_EXTENDED_LEAF),
        LEAF_EXTENDED_FEATURES => {
            leaf.ecx &= BASELINE_EXTENDED_ECX;
            leaf.edx &= BASELINE_EXTENDED_EDX;
        }
        LEAF_SIZES => leaf.ebx = 0,
        _ => {}
    }
}

/// One package of `vcpus` cores with one thread each.
fn set_topology(leaf: &mut kvm_cpuid_entry2, id: u8, vcpus: u8) {
    match leaf.function {
        LEAF_FEATURES => {
            // KVM emulates the deadline timer of its local APIC but leaves it to us to say so.
            leaf.ecx |= FEATURES_ECX_TSC_DEADLINE | FEATURES_ECX_HYPERVISOR;
            leaf.ebx = (leaf.ebx & 0xffff) | u32::from(vcpus) << 16 | u32::from(id) << 24;
            leaf.edx = if vcpus > 1 { leaf.edx | FEATURES_EDX_HTT } else { leaf.edx & !FEATURES_EDX_HTT };
        }
        LEAF_EXTENDED_FEATURES => leaf.ecx &= !EXTENDED_ECX_TOPOEXT,
        // Bits 31:26: cores of the package less one; 25:14: threads sharing the cache less one.
        LEAF_CACHE if leaf.eax & 0x1f != 0 => {
            leaf.eax = (leaf.eax & 0x3fff) | (u32::from(vcpus) - 1) << 26;
        }
        // Bits 7:0: cores less one; 15:12: APIC id bits of a core.
        LEAF_SIZES => leaf.ecx = (leaf.ecx & !0xf0ff) | core_bits(vcpus) << 12 | (u32::from(vcpus) - 1),
        _ => {}
    }
}

/// Leaf 0xB: threads of a core, cores of the package.
fn topology_leaves(id: u8, vcpus: u8) -> [kvm_cpuid_entry2; 2] {
    const LEVEL_THREAD: u32 = 1;
    const LEVEL_CORE: u32 = 2;
    let level = |index: u32, kind: u32, shift: u32, processors: u32| kvm_cpuid_entry2 {
        function: LEAF_TOPOLOGY,
        index,
        flags: KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
        eax: shift,
        ebx: processors,
        ecx: index | kind << 8,
        edx: u32::from(id),
        ..kvm_cpuid_entry2::default()
    };
    [level(0, LEVEL_THREAD, 0, 1), level(1, LEVEL_CORE, core_bits(vcpus), u32::from(vcpus))]
}

/// Bits of the APIC id that number the cores.
fn core_bits(vcpus: u8) -> u32 {
    u32::from(vcpus).next_power_of_two().trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(function: u32, ecx: u32) -> kvm_cpuid_entry2 {
        kvm_cpuid_entry2 { function, eax: u32::MAX, ebx: u32::MAX, ecx, edx: u32::MAX, ..kvm_cpuid_entry2::default() }
    }

    fn find(cpuid: &CpuId, function: u32) -> Option<kvm_cpuid_entry2> {
        cpuid.as_slice().iter().find(|leaf| leaf.function == function).copied()
    }

    #[test]
    fn the_baseline_has_neither_xsave_nor_avx() {
        const XSAVE: u32 = 1 << 26;
        const AVX: u32 = 1 << 28;
        let supported = CpuId::from_entries(&[leaf(1, u32::MAX), leaf(7, u32::MAX), leaf(0xd, 0)]).unwrap();
        let baseline = for_vcpu(&supported, CpuModel::Baseline, 0, 1).unwrap();
        let features = find(&baseline, 1).unwrap();
        assert_eq!(features.ecx & (XSAVE | AVX), 0);
        assert_eq!(find(&baseline, 7).unwrap().ebx, 0);
        assert!(find(&baseline, 0xd).is_none());
        let host = for_vcpu(&supported, CpuModel::Host, 0, 1).unwrap();
        assert_ne!(find(&host, 1).unwrap().ecx & XSAVE, 0);
    }

    #[test]
    fn no_guest_is_told_of_the_hosts_topology() {
        let supported = CpuId::from_entries(&[leaf(1, 0), leaf(0x1f, 0), leaf(0x8000_001e, 0)]).unwrap();
        let host = for_vcpu(&supported, CpuModel::Host, 0, 2).unwrap();
        assert!(find(&host, 0x1f).is_none() && find(&host, 0x8000_001e).is_none());
    }

    #[test]
    fn each_vcpu_has_its_own_apic_id() {
        let supported = CpuId::from_entries(&[leaf(1, 0), leaf(LEAF_SIZES, 0)]).unwrap();
        for id in 0..3 {
            let cpuid = for_vcpu(&supported, CpuModel::Baseline, id, 3).unwrap();
            assert_eq!(find(&cpuid, 1).unwrap().ebx >> 24, u32::from(id));
            assert_eq!(find(&cpuid, LEAF_TOPOLOGY).unwrap().edx, u32::from(id));
            assert_eq!(find(&cpuid, LEAF_SIZES).unwrap().ecx, 2 << 12 | 2);
        }
    }
}
