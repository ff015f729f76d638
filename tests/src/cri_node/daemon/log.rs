//! A container's log as the CRI has it: `TIME STREAM P|F TEXT`, where P says that the line goes on
//! (design-proposals-archive/node/kubelet-cri-logging.md; containerd cuts lines at 16 KiB).

/// The lines that a container has finished on one of its streams.
pub(super) fn lines(log: &str, stream: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    // What has no end yet is still being written.
    for entry in log.split_inclusive('\n').filter_map(|entry| entry.strip_suffix('\n')) {
        let mut fields = entry.splitn(4, ' ').skip(1);
        let (Some(of), Some(tag)) = (fields.next(), fields.next()) else { continue };
        if of != stream {
            continue;
        }
        line.push_str(fields.next().unwrap_or_default());
        if tag != "P" {
            lines.push(std::mem::take(&mut line));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_told_apart_and_lines_put_together() {
        let log = "T stdout F one\nT stdout P two \nT stderr F other\nT stdout F three\nT stdout F\nT stdout F not yet";
        assert_eq!(lines(log, "stdout"), ["one", "two three", ""]);
        assert_eq!(lines(log, "stderr"), ["other"]);
    }
}
