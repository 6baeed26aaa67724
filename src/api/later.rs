//! Answers that come later.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use super::{Frame, Reply};

/// Begun at a time of what runs side by side.
const BESIDE_MAX: usize = 128;

impl Reply {
    /// A change that goes on also when the client leaves before the answer.
    pub fn carried_out(change: impl Future<Output = Frame> + Send + 'static) -> Reply {
        let running = tokio::spawn(change);
        // One that has panicked has no answer: the connection is closed.
        Reply::Later(Box::pin(async move { running.await.unwrap_or_default() }))
    }
}

/// Waits for all of them: begun in order, many at a time, so that they share a sync. Results in order.
pub async fn side_by_side<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut futures = futures.into_iter();
    let mut results = Vec::new();
    loop {
        let mut running: Vec<Result<F::Output, Pin<Box<F>>>> =
            futures.by_ref().take(BESIDE_MAX).map(|f| Err(Box::pin(f))).collect();
        if running.is_empty() {
            return results;
        }
        poll_fn(|cx| {
            let mut waiting = false;
            for place in &mut running {
                if let Err(future) = place {
                    match future.as_mut().poll(cx) {
                        Poll::Ready(result) => *place = Ok(result),
                        Poll::Pending => waiting = true,
                    }
                }
            }
            if waiting { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        results.extend(running.into_iter().filter_map(Result::ok));
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn results_come_in_order_however_they_end() {
        let mut senders = Vec::new();
        let mut waiting = Vec::new();
        for _ in 0..BESIDE_MAX {
            let (sender, receiver) = oneshot::channel();
            senders.push(sender);
            waiting.push(receiver);
        }
        tokio::spawn(async move {
            for (n, sender) in senders.into_iter().enumerate().rev() {
                let _ = sender.send(n);
                tokio::task::yield_now().await;
            }
        });
        let waiting = waiting.into_iter().map(|receiver| async { receiver.await.expect("sent") });
        assert_eq!(side_by_side(waiting).await, Vec::from_iter(0..BESIDE_MAX));
        assert_eq!(side_by_side((0..1000).map(std::future::ready)).await, Vec::from_iter(0..1000));
    }
}
