//! The demo, as `make demo` runs it.

use std::path::PathBuf;

use umail_tests::{
    demo::{self, Report},
    harness::leftovers,
};

use crate::stage::TURN;

#[tokio::test(flavor = "multi_thread")]
async fn every_step_of_the_demo_holds_and_nothing_is_left() {
    let _turn = TURN.lock().await;
    let mut report = Report::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("demo-logs"));
    let demo = demo::run(&mut report).await;
    if let Some(demo) = demo.as_ref().filter(|_demo| !report.failures().is_empty()) {
        report.keep_logs(&demo.fleet);
    }
    assert_eq!(report.failures(), Vec::<String>::new());
    let demo = demo.unwrap();
    let number = demo.fleet.number();
    drop(demo);
    assert_eq!(leftovers::remains(number), Vec::<String>::new());
}
