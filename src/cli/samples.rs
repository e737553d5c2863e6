//! A scrape of `/metrics`, and what changed between two of them.

use std::collections::BTreeMap;

/// Prefix of the server's metrics.
const PREFIX: &str = "oauth2_server_";

/// The labels of a series, in the order of the scrape.
type Labels = Vec<(String, String)>;

/// The samples of a scrape: name without prefix, labels, value.
#[derive(Debug, Default)]
pub struct Samples(Vec<(String, Labels, f64)>);

impl Samples {
    /// Reads the text exposition format 0.0.4. Lines of other metrics and malformed lines are skipped.
    pub fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(sample).collect())
    }

    /// The value of a metric, its series added up. `None` if there is no series.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.matching(name, &[])
    }

    /// The value of the series that have these labels, added up. `None` if there is none.
    pub fn matching(&self, name: &str, wanted: &[(&str, &str)]) -> Option<f64> {
        let has = |labels: &Labels| {
            let is_there = |(name, value): &(&str, &str)| labels.iter().any(|(n, v)| n == name && v == value);
            wanted.iter().all(is_there)
        };
        let values = self.0.iter().filter(|(known, labels, _)| known == name && has(labels));
        values.map(|(_, _, value)| *value).reduce(|sum, value| sum + value)
    }

    /// The value of a metric per value of a label, its other labels added up.
    pub fn by_label(&self, name: &str, label: &str) -> BTreeMap<&str, f64> {
        let mut values = BTreeMap::new();
        for (known, labels, value) in &self.0 {
            let key = labels.iter().find(|(name, _)| name == label);
            if let (true, Some((_, key))) = (known == name, key) {
                *values.entry(key.as_str()).or_insert(0.0) += value;
            }
        }
        values
    }

    /// The value of the one label of a metric that says something about the process, such as its version.
    pub fn label(&self, name: &str, label: &str) -> Option<&str> {
        let (_, labels, _) = self.0.iter().find(|(known, ..)| known == name)?;
        let (_, value) = labels.iter().find(|(name, _)| name == label)?;
        Some(value)
    }
}

fn sample(line: &str) -> Option<(String, Labels, f64)> {
    let (series, value) = line.strip_prefix(PREFIX)?.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, labels)) = series.split_once('{') else {
        return Some((series.to_owned(), Labels::new(), value));
    };
    // No label of this server holds a quote or a comma: their values are closed sets.
    let labels = labels.strip_suffix('}')?.split(',').filter_map(|label| {
        let (name, value) = label.split_once('=')?;
        Some((name.to_owned(), value.trim_matches('"').to_owned()))
    });
    Some((name.to_owned(), labels.collect(), value))
}

/// What changed between two scrapes.
pub struct Change<'a> {
    /// The earlier scrape.
    pub before: &'a Samples,
    /// The later scrape.
    pub after: &'a Samples,
    /// Seconds between them.
    pub seconds: f64,
}

impl Change<'_> {
    /// The increase of a counter per second, of the series with these labels. `None` if there is none, or the process was restarted.
    pub fn rate(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let increase = self.after.matching(name, labels)? - self.before.matching(name, labels).unwrap_or(0.0);
        (increase >= 0.0).then_some(increase / self.seconds)
    }

    /// The increase per second per value of a label, the largest first; without those that did not increase.
    pub fn rates_by(&self, name: &str, label: &str) -> Vec<(&str, f64)> {
        let before = self.before.by_label(name, label);
        let increase = |(key, value): (_, f64)| (key, (value - before.get(key).unwrap_or(&0.0)) / self.seconds);
        let mut rates: Vec<_> = self.after.by_label(name, label).into_iter().map(increase).collect();
        rates.retain(|(_, rate)| *rate > 0.0);
        rates.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        rates
    }

    /// The mean of the observations of a histogram in this time. `None` without observations.
    pub fn mean(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let count = self.rate(&format!("{name}_count"), labels)?;
        let sum = self.rate(&format!("{name}_sum"), labels)?;
        (count > 0.0).then_some(sum / count)
    }

    /// A quantile of a histogram in this time, interpolated within its bucket; above the last bound, that bound. `None` without
    /// observations.
    pub fn quantile(&self, name: &str, labels: &[(&str, &str)], quantile: f64) -> Option<f64> {
        let name = format!("{name}_bucket");
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for bound in self.after.by_label(&name, "le").into_keys() {
            let with_bound: Vec<_> = labels.iter().copied().chain([("le", bound)]).collect();
            buckets.push((bound.parse().ok()?, self.rate(&name, &with_bound)?));
        }
        buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let (_, total) = *buckets.last()?;
        if total <= 0.0 {
            return None;
        }
        let rank = quantile * total;
        let (mut lower, mut below) = (0.0, 0.0);
        for (bound, count) in buckets {
            if count >= rank {
                let part = if count > below {
                    (rank - below) / (count - below)
                } else {
                    0.0
                };
                return Some(if bound.is_finite() {
                    lower + (bound - lower) * part
                } else {
                    lower
                });
            }
            (lower, below) = (bound, count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "# TYPE oauth2_server_a_total counter\noauth2_server_a_total{x=\"1\",y=\"2\"} 4\nother_total 9\n\
        oauth2_server_d_seconds_bucket{le=\"0.1\"} 0\noauth2_server_d_seconds_bucket{le=\"0.2\"} 0\n\
        oauth2_server_d_seconds_bucket{le=\"+Inf\"} 0\noauth2_server_d_seconds_sum 0\noauth2_server_d_seconds_count 0\n";
    const AFTER: &str = "oauth2_server_a_total{x=\"1\",y=\"2\"} 8\noauth2_server_a_total{x=\"1\",y=\"3\"} 2\n\
        oauth2_server_d_seconds_bucket{le=\"0.1\"} 5\noauth2_server_d_seconds_bucket{le=\"0.2\"} 9\n\
        oauth2_server_d_seconds_bucket{le=\"+Inf\"} 10\noauth2_server_d_seconds_sum 2\noauth2_server_d_seconds_count 10\n";

    #[test]
    fn rates_and_quantiles_are_those_of_the_time_between_two_scrapes() {
        let (before, after) = (Samples::parse(BEFORE), Samples::parse(AFTER));
        let change = Change {
            before: &before,
            after: &after,
            seconds: 2.0,
        };
        assert_eq!(change.rate("a_total", &[]), Some(3.0));
        assert_eq!(change.rate("a_total", &[("y", "3")]), Some(1.0));
        assert_eq!(change.rates_by("a_total", "y"), [("2", 2.0), ("3", 1.0)]);
        assert_eq!(change.rate("b_total", &[]), None);
        assert_eq!(change.mean("d_seconds", &[]), Some(0.2));
        assert_eq!(change.quantile("d_seconds", &[], 0.5), Some(0.1));
        let p99 = change.quantile("d_seconds", &[], 0.99);
        assert_eq!(p99, Some(0.2), "above the last bound");
        let restarted = Change {
            before: &after,
            after: &before,
            seconds: 2.0,
        };
        assert_eq!(restarted.rate("a_total", &[]), None);
        assert_eq!(restarted.quantile("d_seconds", &[], 0.5), None);
    }
}
