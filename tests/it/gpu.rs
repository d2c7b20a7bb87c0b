//! A GPU for the tests that want one.
use kernels::Device;

/// The best GPU, software or not; `None`, and the reason printed, where there is none.
/// With `REQUIRE_GPU=1` in the environment that is a failure.
pub fn device() -> Option<Device> {
    match Device::gpu(None, true) {
        Ok(device) => Some(device),
        Err(why) if std::env::var("REQUIRE_GPU").is_ok_and(|v| v == "1") => panic!("REQUIRE_GPU=1, but {why}"),
        Err(why) => {
            println!("SKIPPED: {why}");
            None
        }
    }
}
