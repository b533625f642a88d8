//! The hypercall interface on `/dev/kvm`, driven by a payload.

mod bad_calls;
mod batch;
mod calls;
mod clean_pages;
mod concurrency;
mod frames;
mod pause;
mod system_calls;
