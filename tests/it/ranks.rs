//! Two ranks in two threads: the sum of their work is that of one.

use crate::rlhf::{count_letter, demonstrations, listening, named, optim, ppo_config, prompts, rankings};
use crate::support::tiny;
use autograd::Params;
use kernels::Rng;
use model::{HeadKind, Transformer};
use rlhf_core::methods::{
    ppo::{self, Models},
    rm, sft,
};
use rlhf_core::train::{Alone, Comm, Run};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

/// One of two ranks that send each other what they have.
struct Pair {
    rank: usize,
    to: Sender<Vec<f64>>,
    from: Mutex<Receiver<Vec<f64>>>,
}

impl Comm for Pair {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        2
    }

    fn all_reduce(&self, x: &mut [f64]) {
        self.to.send(x.to_vec()).expect("the other rank is gone");
        let other = self.from.lock().unwrap().recv().expect("the other rank is gone");
        x.iter_mut().zip(other).for_each(|(x, other)| *x += other);
    }
}

/// What each step logged, and the weights at the end.
type Trained = (Vec<Vec<(&'static str, f64)>>, Vec<u32>);

fn trained(comm: Arc<dyn Comm>, train: impl Fn(&mut Run) -> Params) -> Trained {
    let (run, told) = listening();
    let params = train(&mut Run { comm, ..run });
    (told.take(), params.flat().to_vec().into_iter().map(f32::to_bits).collect())
}

/// By both ranks of a pair.
fn together(train: impl Fn(&mut Run) -> Params + Sync) -> [Trained; 2] {
    let (to_one, from_zero) = channel();
    let (to_zero, from_one) = channel();
    let zero = Pair { rank: 0, to: to_one, from: Mutex::new(from_one) };
    let one = Pair { rank: 1, to: to_zero, from: Mutex::new(from_zero) };
    std::thread::scope(|scope| {
        let ranks = [zero, one].map(|pair| scope.spawn(|| trained(Arc::new(pair), &train)));
        ranks.map(|rank| rank.join().unwrap())
    })
}

fn models() -> [(Transformer, Params); 2] {
    [tiny(crate::rlhf::VOCAB, HeadKind::Lm, 31), tiny(crate::rlhf::VOCAB, HeadKind::Score, 32)]
}

/// Adam makes steps of full size from the last bits of gradients that should be 0, so what is compared is what is logged.
fn same_as_one(train: impl Fn(&mut Run) -> Params + Sync) {
    let (alone, _) = trained(Arc::new(Alone), &train);
    let [(zero, weights), (_, weights_of_one)] = together(&train);
    assert!(weights == weights_of_one, "both ranks took the same steps");
    assert!(alone.len() > 2 && alone.len() == zero.len());
    for (alone, two) in alone.iter().zip(&zero) {
        for name in ["loss", "grad_norm", "epoch", "num_tokens"] {
            let (a, b) = (named(alone, name), named(two, name));
            assert!((a - b).abs() <= 1e-3 * a.abs(), "{name}: {a} alone, {b} together");
        }
    }
}

#[test]
fn two_ranks_train_as_one() {
    let [(policy, params), (value, value_params)] = models();
    let demos = demonstrations(20);
    let config = sft::Config { epochs: 1.0, batch: 7, optim: optim(1e-3), ..sft::Config::default() };
    same_as_one(|run| sft::train(&policy, params.clone(), &demos, &[], &config, Rng::new(1), run).unwrap());
    let ranked = rankings(20);
    let config = rm::Config { batch: 7, optim: optim(1e-3), ..rm::Config::default() };
    same_as_one(|run| rm::train(&value, value_params.clone(), &ranked, &config, Rng::new(1), run).unwrap());
}

/// Ranks sample their own completions, so the numbers are others than those of one; that they agree is the test.
#[test]
fn two_ranks_of_ppo_stay_one_policy() {
    let [(policy, params), (value, value_params)] = models();
    let text = demonstrations(9);
    let mut config = ppo::Config { epochs: 2, minibatch: 5, ptx_coef: 1.0, kl_target: 2.0, ..ppo_config() };
    config.whiten_rewards = true;
    let [(zero, weights), (one, weights_of_one)] = together(|run| {
        let models = Models {
            policy: &policy,
            policy_params: params.clone(),
            reference: (&policy, &params),
            value: &value,
            value_params: value_params.clone(),
            reward: &count_letter,
            eos_ids: &[0],
        };
        ppo::train(models, &prompts(23), &text, &config, Rng::new(1), run).unwrap().ema
    });
    assert!(weights == weights_of_one);
    for (zero, one) in zero.iter().zip(&one) {
        for name in ["objective/kl", "objective/scores", "objective/kl_coef", "loss/policy_avg", "policy/grad_norm"] {
            assert_eq!(named(zero, name), named(one, name), "{name}");
        }
    }
    assert_eq!(named(zero.last().unwrap(), "episode"), 96.0);
}
