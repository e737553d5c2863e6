//! Tokens counted against a client's quotas, before they are there.

use std::time::Duration;

use oauth2_actors::model::{Client, Decision, Mode, Quotas};
use oauth2_actors::quota_keeper::{Level, Refused, Reserved};

use super::State;
use super::error::Failure;
use super::limits::{Refusal, Standing};

/// What holds where a client has nothing of its own.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Quotas of clients that have none.
    pub quotas: Quotas,
    /// Whether they refuse.
    pub mode: Mode,
}

impl State {
    /// A client's quotas, and whether they refuse; `None` where it has none.
    pub fn quotas_of(&self, client: &Client) -> Option<(Quotas, Mode)> {
        let (own, rules) = (client.policy.as_deref(), &self.quota_rules);
        if own.is_none() && rules.quotas == Quotas::default() {
            return None;
        }
        let said = own.map_or(Quotas::default(), |policy| policy.quotas);
        let quotas = Quotas {
            hour: said.hour.or(rules.quotas.hour),
            day: said.day.or(rules.quotas.day),
            month: said.month.or(rules.quotas.month),
        };
        let mode = own.and_then(|policy| policy.quota_mode).unwrap_or(rules.mode);
        (quotas != Quotas::default()).then_some((quotas, mode))
    }

    /// Counts a token, if the client has quotas. It is taken back when what is answered is dropped without being kept.
    pub fn reserve(&self, client: &Client, standings: &mut Vec<Standing>) -> Result<Option<Reserved>, Failure> {
        let Some((quotas, mode)) = self.quotas_of(client) else {
            return Ok(None);
        };
        let now = self.now();
        match self
            .counters
            .reserve(&client.client_id, &quotas, mode == Mode::Enforce, now)
        {
            Ok((reserved, over)) => {
                self.instruments
                    .quota(if over { Decision::Observed } else { Decision::Allowed });
                tell(standings, &reserved.levels, &quotas, now);
                Ok(Some(reserved))
            }
            Err(Refused::Over { levels, until }) => {
                self.instruments.quota(Decision::Limited);
                tell(standings, &levels, &quotas, now);
                Err(Failure::Limited(Box::new(Refusal {
                    reason: "quota_exceeded",
                    description: "the client has used up its quota of tokens",
                    retry_after: Duration::from_secs((until - now).max(1).unsigned_abs()),
                    standings: std::mem::take(standings),
                })))
            }
            Err(Refused::Unknown) => Err(Failure::Unavailable("quota_unknown")),
        }
    }
}

fn tell(standings: &mut Vec<Standing>, levels: &[Level], quotas: &Quotas, now: i64) {
    for level in levels {
        if let Some(limit) = level.window.of(quotas) {
            standings.push(Standing {
                name: level.window.as_str(),
                limit,
                window: (level.ends_at - level.began_at).unsigned_abs(),
                remaining: limit.saturating_sub(level.used),
                reset: (level.ends_at - now).max(0).unsigned_abs(),
            });
        }
    }
}
