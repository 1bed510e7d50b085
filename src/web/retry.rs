//! The only rules for retries: how often a client tries, how long it waits, and how long a server may make it wait.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::error::ApiError;

/// The longest pause that a server may ask for: a quarter of the hour that an hourly job of cron has. If a server
/// asks for more, the next attempt comes earlier than the server wishes, and the log says both times.
const ASKED_MAX: Duration = Duration::from_secs(15 * 60);

/// How often a request is tried, and how long the pauses between the attempts are.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// The most attempts, the first one included.
    pub attempts_max: u32,
    /// The pause before the second attempt. Each further pause is twice as long.
    pub backoff: Duration,
    /// The longest pause if the server asks for none.
    pub backoff_max: Duration,
    /// The longest pause that a server may ask for; the shortest is `backoff`.
    pub asked_max: Duration,
}

/// The values of all clients of Adobe's APIs. The hits of a drain have their own values, in `[delivery]`.
impl Patience {
    /// The first pause is a second, because Adobe's Dynamic Client Registration allows one attempt a second.
    pub const ESM: Patience = Patience {
        attempts_max: 5,
        backoff: Duration::from_secs(1),
        backoff_max: Duration::from_secs(60),
        asked_max: ASKED_MAX,
    };
    /// One attempt, because the caller repeats it at its own pace.
    pub const ONCE: Patience = Patience { attempts_max: 1, ..Patience::PROBE };
    /// For the hits of a probe, whose result a person waits for.
    pub const PROBE: Patience = Patience {
        attempts_max: 6,
        backoff: Duration::from_millis(500),
        backoff_max: Duration::from_secs(60),
        asked_max: ASKED_MAX,
    };

    /// Analytics limits the calls in a window (6 s at Adobe). The pauses begin at a sixth of the window and double. A
    /// server may ask for a pause of 150 windows, which at Adobe is `ASKED_MAX`.
    pub fn analytics(window: Duration) -> Patience {
        Patience { attempts_max: 5, backoff: window / 6, backoff_max: window * 10, asked_max: window * 150 }
    }

    /// For the uploads of a backfill, which nobody waits for. By default, 30 attempts in a row take 25 to 50 minutes.
    /// Then a person has to look; otherwise an upload that can never work would be tried for ever. A server may ask for
    /// a pause of an hour, because Adobe may close a contract's uploads for an hour.
    pub fn bulk(backoff: Duration, backoff_max: Duration) -> Patience {
        Patience { attempts_max: 30, backoff, backoff_max, asked_max: Duration::from_secs(3600) }
    }

    /// Retries until the answer is conclusive or `attempts_max` is reached; returns the last result.
    pub async fn retry<T>(&self, attempt: impl AsyncFn() -> Result<T, ApiError>) -> Result<T, ApiError> {
        let mut backoff = Backoff::new(*self);
        loop {
            match attempt().await {
                Ok(answer) => return Ok(answer),
                Err(error) => backoff.wait(error).await?,
            }
        }
    }
}

/// The attempts of one request so far, and its next pause.
#[derive(Debug)]
pub struct Backoff {
    patience: Patience,
    attempts: u32,
}

impl Backoff {
    pub fn new(patience: Patience) -> Backoff {
        Backoff { patience, attempts: 0 }
    }

    /// Waits before the next attempt. Returns the error if it is conclusive or no attempts are left.
    pub async fn wait(&mut self, error: ApiError) -> Result<(), ApiError> {
        if !error.is_for_the_moment() {
            return Err(error);
        }
        let Some(wait) = self.next(error.retry_after()) else { return Err(error) };
        let (wait_ms, attempt, check) = (wait.as_millis() as u64, self.attempts, error.to_check());
        tracing::warn!(%error, attempt, wait_ms, check, "no whole answer yet; asking again");
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// The pause after a failed attempt: as long as the server asks, within bounds. If the server asks for none, our
    /// own pause, which doubles each time. `None` after the last attempt.
    pub fn next(&mut self, asked: Option<Duration>) -> Option<Duration> {
        let Patience { attempts_max, backoff, backoff_max, asked_max } = self.patience;
        self.attempts += 1;
        if self.attempts >= attempts_max {
            return None;
        }
        let own = doubled(backoff, self.attempts - 1, backoff_max);
        Some(asked.map_or(own, |asked| asked.max(backoff).min(asked_max)))
    }
}

/// The first pause, doubled `times` times, but at most `longest`.
pub fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << times.min(20)).min(longest)
}

/// The header `Retry-After`, as seconds or as a date; a date in the past means no wait.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use reqwest::{StatusCode, Url};

    use super::super::error::Endpoint;
    use super::*;

    #[test]
    fn a_server_that_asks_for_some_minutes_gets_them() {
        let asked = Some(Duration::from_secs(300));
        for patience in [Patience::ESM, Patience::PROBE, Patience::analytics(Duration::from_secs(6))] {
            assert_eq!(Backoff::new(patience).next(asked), asked);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_and_the_server_is_obeyed_within_bounds() {
        let second = Duration::from_secs(1);
        let patience =
            Patience { attempts_max: 5, backoff: second, backoff_max: 10 * second, asked_max: 20 * second };
        let url = Url::parse("https://a.example/").expect("a URL");
        let endpoint = Endpoint::new("a thing", "esm.url", &url);
        for (asked, seconds) in
            [(None, 1 + 2 + 4 + 8), (Some(3), 4 * 3), (Some(0), 4), (Some(u64::MAX), 4 * 20)]
        {
            let began = tokio::time::Instant::now();
            let attempts = std::cell::Cell::new(0);
            let last = patience
                .retry(async || {
                    attempts.set(attempts.get() + 1);
                    let asked = asked.map(Duration::from_secs);
                    Err::<(), _>(endpoint.refused(StatusCode::SERVICE_UNAVAILABLE, asked, b""))
                })
                .await;
            let found = (last.expect_err("busy").status(), attempts.get(), began.elapsed().as_secs());
            assert_eq!(found, (Some(503), 5, seconds), "{asked:?}");
        }
    }

    #[test]
    fn a_pause_is_never_longer_than_its_bound() {
        let mut backoff = Backoff::new(Patience::bulk(Duration::from_secs(2), Duration::from_secs(120)));
        let pauses: Vec<Duration> = std::iter::from_fn(|| backoff.next(None)).collect();
        assert_eq!((pauses.len(), pauses[28].as_secs()), (29, 120));
        assert_eq!(pauses.iter().sum::<Duration>().as_secs() / 60, 48);
    }
}
