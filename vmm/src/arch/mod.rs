//! What depends on the processor architecture: the address map, the firmware tables, the state a vCPU starts with.
//!
//! `x86_64` is the only one; a second one gets its own folder with the same files.

pub mod x86_64;
