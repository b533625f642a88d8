//! The cases: one file each, with its host half and its guest half.

mod backing_disk;
mod boot;
mod cleancache;
mod cleancache_cost;
mod control;
mod counts;
mod debian;
mod debian_endings;
mod debian_other_swap;
mod debian_programs;
mod debian_redis;
mod debian_upgrade;
mod demo;
mod disk_cache;
mod disk_cache_file_systems;
mod disk_cache_races;
mod disk_cache_scan;
mod disk_cache_taken_back;
mod disk_cache_trees;
mod endings;
mod exactness;
mod figures;
mod flood;
mod fork;
mod frontswap;
mod full_store;
mod hog;
mod host_reload;
mod huge_pages;
mod idle;
mod kexec;
mod killed;
mod leases;
mod lost_tap;
mod nearly_full;
mod network;
mod network_values;
mod readahead;
mod refusals;
mod reload;
mod restart;
mod service_kills;
mod squeeze;
mod swapoff;
mod told;
mod two_hogs;
mod two_networks;
mod weights;

use crate::case::Case;

pub use demo::{DEMO, Row};

/// Every case, in the order in which they run.
pub const ALL: &[Case] = &[
    boot::CASE,
    endings::CASE,
    refusals::CASE,
    hog::CASE,
    idle::CASE,
    swapoff::CASE,
    fork::CASE,
    two_hogs::CASE,
    huge_pages::CASE,
    readahead::CASE,
    backing_disk::CASE,
    full_store::CASE,
    control::CASE,
    network::CASE,
    network_values::CASE,
    two_networks::CASE,
    flood::CASE,
    lost_tap::CASE,
    nearly_full::CASE,
    nearly_full::ON_TWO_CPUS_CASE,
    nearly_full::NAIVE_CASE,
    reload::CASE,
    restart::CASE,
    kexec::CASE,
    killed::CASE,
    leases::CASE,
    weights::CASE,
    service_kills::CASE,
    host_reload::CASE,
    squeeze::CASE,
    frontswap::CASE,
    frontswap::OVER_LIMIT_CASE,
    frontswap::HUGE_PAGES_CASE,
    cleancache::CASE,
    cleancache::LARGE_CASE,
    cleancache_cost::CASE,
    disk_cache::CASE,
    disk_cache_file_systems::CASE,
    disk_cache_scan::CASE,
    disk_cache_taken_back::CASE,
    disk_cache_trees::CASE,
    disk_cache_races::CASE,
    disk_cache_races::LONG_CASE,
    disk_cache_races::NAIVE_CASE,
    demo::CASE,
    debian::CASE,
    debian_endings::CASE,
    debian_upgrade::CASE,
    debian_other_swap::CASE,
    debian_redis::CASE,
    debian_programs::CASE,
];

/// The case of that name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Case> {
    ALL.iter().find(|case| case.name == name)
}
