//! Runs of programs that the kernel left out.

use super::*;

fn missed(script: &str) -> (u64, u64, bool) {
    let told = Case::default().run(script);
    let Missed { connections, processes } = told.finished[0].missed;
    (connections, processes, told.finished[0].complete)
}

#[test]
fn what_was_missed_since_the_pod_is_known_is_told_with_it() {
    const END: &str = "5000 app term\n5500 app end 0";
    assert_eq!(missed(END), (0, 0, true));
    assert_eq!(missed(&format!("4000 app missed 3000 7 1\n{END}")), (7, 1, true), "what is open now was opened before");
    assert_eq!(missed(&format!("{END}\n5700 app missed 5600 7 1")), (0, 0, true), "after");
    assert_eq!(missed("5000 app term\n5100 app missed 4900 7 1\n5500 app end 0"), (7, 1, true));
    assert_eq!(missed(&format!("{END}\n5510 app missed 5410 2 0\n5610 app missed 5510 4 0")), (2, 0, true));
    assert_eq!(
        missed("5000 app term\n5100 app missed 4900 7 1\n5200 app missed 5100 1 0\n5500 app end 0"),
        (8, 1, true)
    );
}
