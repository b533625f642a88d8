//! The contract of the store, line by line.
//!
//! `contract` has a named test for each promise, `model` compares random operations with a plain map, `threads` does what
//! needs several vCPUs. The test of two clients' weights belongs to the host's policy: a store has one client.

#![allow(clippy::unwrap_used, reason = "what a test cannot set up fails it")]
#![allow(missing_docs, reason = "a test's name says what it is for")]

mod contract;
mod guest;
mod model;
mod pages;
mod threads;
