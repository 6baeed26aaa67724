//! Figures of one broker, and the page on which Prometheus reads them. Names are those that its JMX exporter gives to Kafka's.
//!
//! There is no registry: who counts owns its counters, and who is asked for the page collects them.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Prometheus' text format, version 0.0.4.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    pub fn counter(&mut self, name: &str, help: &str, value: &Counter) {
        self.sample(name, help, "counter", value.get());
    }

    pub fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.sample(name, help, "gauge", value);
    }

    fn sample(&mut self, name: &str, help: &str, kind: &str, value: u64) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    }

    pub fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_prometheus_text() {
        let counter = Counter::default();
        counter.add(3);
        let mut page = Page::default();
        page.counter("a_total", "What it counts.", &counter);
        page.gauge("b", "How much.", 7);
        let text = "# HELP a_total What it counts.\n# TYPE a_total counter\na_total 3\n\
                    # HELP b How much.\n# TYPE b gauge\nb 7\n";
        assert_eq!(page.into_text(), text);
    }
}
