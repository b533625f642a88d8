//! The driver's module.

use super::Guest;
use anyhow::Result;

const MODULE: &str = "/lib/modules/tmem.ko";

impl Guest {
    /// Loads the driver with these parameters.
    ///
    /// # Errors
    /// Where it does not load.
    pub fn load_driver(&self, parameters: &[&str]) -> Result<()> {
        self.command("insmod", &[&[MODULE], parameters].concat()).map(drop)
    }

    /// Unloads the driver.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn unload_driver(&self) -> Result<()> {
        self.command("rmmod", &["tmem"]).map(drop)
    }
}
