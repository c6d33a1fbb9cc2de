//! The kernel's target is rustc's `x86_64-unknown-none`, but for what this file names.

use serde_json::Value;
use std::process::Command;

/// Keys that differ on purpose, with the reason.
const DIFFERENT: [(&str, &str); 1] = [("frame-pointer", "backtraces walk the frames")];

#[test]
fn the_target_is_rustcs_own_but_for_frame_pointers() {
    let output = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into()))
        .args(["-Zunstable-options", "--print", "target-spec-json", "--target", "x86_64-unknown-none"])
        .env("RUSTC_BOOTSTRAP", "1")
        .output()
        .expect("rustc runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let ours = std::fs::read_to_string(tests::root().join("x86_64-target.json")).expect("the target");
    let mut ours: Value = serde_json::from_str(&ours).expect("JSON");
    for (key, _) in DIFFERENT {
        let value = ours.as_object_mut().and_then(|keys| keys.remove(key));
        assert!(value != theirs.get(key).cloned(), "{key} does not differ any more");
    }
    assert_eq!(ours, theirs);
}
