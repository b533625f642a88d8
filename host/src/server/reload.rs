//! A policy that changed on the disk.

use std::path::PathBuf;

use super::Server;
use crate::engine::Objection;
use crate::settings::read_policy;
use crate::watch::Watch;

/// The policy's files, and whoever tells when they change.
#[derive(Debug)]
pub(crate) struct PolicySource {
    pub path: PathBuf,
    pub watch: Watch,
}

impl Server {
    /// Puts the policy that is on the disk now in force, if it changed and is valid. Else the last good one stays. Once an
    /// interval, so that a file that changes all the time costs no more than that.
    pub(super) fn reload_if_changed(&mut self) {
        let Some(source) = &mut self.outside.source else { return };
        let asked = self.outside.caught.reload.take();
        if !source.watch.take() && !asked {
            return;
        }
        let outcome = match read_policy(Some(&source.path)) {
            Ok(found) if found.sha256 == self.engine.in_force().sha256 => Ok(false),
            Ok(found) => self.engine.change_policy(found.policy, found.sha256).map(|()| true).map_err(Objection::from),
            Err(error) => Err(Objection::of_files(&error)),
        };
        let error = match outcome {
            Ok(is_new) => {
                if is_new {
                    let generation = self.engine.in_force().generation;
                    tracing::info!(generation, "another policy is in force");
                    if let Err(error) = self.set_timer() {
                        tracing::error!(%error, "the interval stays as it was");
                    }
                }
                None
            }
            Err(error) => {
                self.reloads_failed += 1;
                Some(error)
            }
        };
        if self.engine.note_policy_error(error.clone())
            && let Some(error) = error
        {
            tracing::warn!(
                error = error.to(true),
                "the policy on the disk is not put in force; the last good one stays"
            );
        }
    }
}
