//! What readers see of a window of which something is withheld, and of a model that has gone elsewhere.

use super::*;
use crate::pipeline::panes;

/// Panes of which most values are null.
fn broken(fed: &mut Fed, n: i64) {
    for _ in 0..n {
        let mut pane = Pane::empty(START + fed.panes * PANE, &fed.watched.rules.shape());
        pane.records = RECORDS;
        pane.features[0].cells = vec![4; 10];
        pane.features[0].null = RECORDS - 40;
        fed.panes += 1;
        let partial = Partial {
            partition: TopicPartition::new("inferences", 0),
            rules: fed.watched.rules.hash,
            applied_through: fed.next_offset(),
            pane,
        };
        let record = panes::partial(&partial);
        let records = vec![(partial.partition.clone(), record)];
        fed.evaluate.store.append_panes("fraud", partial.rules, records).unwrap();
        fed.tell(Counted::Partials { model: 0, partials: vec![partial] });
        let progress = vec![(fed.progress(), fed.next_offset() + fed.unread)];
        let (open, quiet) = (Vec::new(), Vec::new());
        fed.tell(Counted::Progress { model: 0, progress, open, quiet });
    }
}

#[tokio::test]
async fn counts_are_published_as_they_were_scored() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start(dir.path(), 0, 0);
    fed.panes(12, false);
    let view = fed.tick();
    assert_eq!(view.models[0].rest, [None]);
    broken(&mut fed, 4);
    let view = fed.tick();
    let model = &view.models[0];
    let (live, scored) = (&model.live[0], model.scored(0).unwrap());
    assert_eq!(live.null, 4 * (RECORDS - 40), "{:?}", model.faults);
    assert!(scored.null < live.null && scored.records() < live.records(), "{scored:?}");
    assert_eq!(scored.in_cells(), model.features[0].live_count);
}

#[tokio::test]
async fn what_is_given_back_is_another_s_to_show() {
    let dir = TempDir::new().unwrap();
    let mut fed = Fed::start(dir.path(), 0, 0);
    fed.panes(12, false);
    let shown = |fed: &mut Fed| {
        let view = fed.tick();
        let text = fed.evaluate.metrics.render(&view, &Default::default(), 0);
        let has = |what: &str| text.contains(&format!("driftd_{what}_timestamp_seconds{{"));
        (has("event_watermark"), has("last_evaluation"))
    };
    assert_eq!(shown(&mut fed), (true, true));
    fed.evaluate.release(&[0], Instant::now());
    assert_eq!(shown(&mut fed), (false, false));
}
