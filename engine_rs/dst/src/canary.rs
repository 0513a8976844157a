//! Planted bugs, each of which must be caught within some seeds.

#[cfg(feature = "canaries")]
use cobalt_core::canary::{Canary, plant};

/// Every planted bug has to be found within so many seeds.
#[cfg(feature = "canaries")]
const SEEDS_MAX: u64 = 300;

/// Plants each bug in turn and looks for it; whether all were caught, and nothing without one.
#[cfg(feature = "canaries")]
pub fn all(messages: usize) -> bool {
    use crate::plan::Plan;

    let mut is_well = true;
    for bug in Canary::ALL {
        plant(Some(bug));
        let caught = (1..=SEEDS_MAX).find_map(|seed| {
            let plan = Plan::new(seed, messages, &[]);
            let what = crate::try_plan(&plan).err()?;
            Some((plan, what))
        });
        if let Some((plan, what)) = caught {
            let seeds = plan.seed;
            let (smallest, _) = crate::minimised(plan, what.clone());
            println!(
                "{bug:?}: caught after {seeds} seeds: {what}\n  {}",
                crate::line(&smallest)
            );
        } else {
            println!("{bug:?}: NOT caught in {SEEDS_MAX} seeds");
            is_well = false;
        }
    }
    plant(None);
    is_well
}

/// Without the feature there is nothing to catch.
#[cfg(not(feature = "canaries"))]
pub fn all(_messages: usize) -> bool {
    eprintln!("cobalt-dst: CANARIES=1 needs a build with --features canaries");
    false
}
