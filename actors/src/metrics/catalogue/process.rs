//! The process.

use super::row::{LabelSet, Values, counter, gauge};

const VERSION: LabelSet = LabelSet {
    name: "version",
    values: Values::From("the running version"),
};

crate::catalogue! {
    READY = gauge("ready", &[], "1 while /ready answers 200");
    CPU_SECONDS = counter("process_cpu_seconds", &[], "Processor time of the process, user and system");
    CPUS = gauge("process_cpus", &[], "Processors that the process may use").notes("By its affinity and its cgroup.");
    THREADS = gauge("process_threads", &[], "Threads of the process");
    RESIDENT_MEMORY = gauge("process_resident_memory_bytes", &[], "Resident memory of the process");
    OPEN_FDS = gauge("process_open_fds", &[], "Open file descriptors of the process");
    MAX_FDS = gauge("process_max_fds", &[], "File descriptors that the process may open");
    START_TIME = gauge("process_start_time_seconds", &[], "Start of the process");
    LOG_LINES_DROPPED = counter("log_lines_dropped", &[], "Log lines dropped because stderr was not read in time or could not be written");
    LOG_LINES_SUPPRESSED = counter(
        "log_lines_suppressed", &[], "Warnings and errors left out of the log because the same place logged too many"
    );
    SPANS_DROPPED = counter("spans_dropped", &[], "Spans not exported: the queue was full, or the collector failed").detail();
    LOG_RECORDS_DROPPED = counter(
        "log_records_dropped", &[], "Log records not exported: the queue was full, or the collector failed"
    ).detail();
    BUILD_INFO = gauge("build_info", &[VERSION], "Always 1; the label is the running version").detail();
}
