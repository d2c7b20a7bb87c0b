use crate::error::Result;
pub fn run(_args: impl IntoIterator<Item = std::ffi::OsString>) -> Result {
    Ok(())
}
