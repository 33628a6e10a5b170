"""The training loop: pretrain on the dataset, then run episodes and update on mixed batches."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from lunar_offline.agents.nn.malloc import keep_freed_memory
from lunar_offline.agents.nn.policies import act
from lunar_offline.agents.nn.precision import resolve_precision
from lunar_offline.agents.registry import find_algorithm
from lunar_offline.datasets.journal import Journal
from lunar_offline.envs.action_range import repeatable
from lunar_offline.envs.rollout import EpisodeRecorder
from lunar_offline.errors import UsageError
from lunar_offline.evaluation.evaluate import validate
from lunar_offline.policies.acting import policy_act
from lunar_offline.policies.policy_file import save_policy
from lunar_offline.progress import Observer, Silent
from lunar_offline.seeding import Purpose, episode_seed, generator
from lunar_offline.training.batches import Batches
from lunar_offline.training.checkpoint import Checkpoint, Counters
from lunar_offline.training.config import TrainConfig
from lunar_offline.training.divergence import check_divergence, check_finite
from lunar_offline.training.make_learner import learner_of
from lunar_offline.training.metrics import (
    EpisodeRecord,
    IntervalMeans,
    IntervalRecord,
    ValidationRecord,
)
from lunar_offline.training.record_episodes import publish_recording, recording
from lunar_offline.training.run_folder import RunFolder
from lunar_offline.transitions import Episode, Transitions

LOG_EVERY = 1_000
ACCUMULATE_EVERY = 10
CHECKPOINT_EVERY = 5_000


class Training:
    """A training run: its learner, data and counters.

    All random numbers are functions of the seed and the counters, so a resumed run is bit-exact.

    Args:
        config: the resolved configuration.
        run: the run directory.
        dataset: all transitions of the dataset; None for rho 0.
        observer: receives the progress; None reports nothing.

    Attributes:
        notes: lines for the user that `resume` added.
        check_recorded: is called before the recorded dataset is published; see `publish`.

    Raises:
        UsageError: the device does not exist, or the dataset is too small for the config.
    """

    def __init__(
        self,
        config: TrainConfig,
        run: RunFolder,
        dataset: Transitions | None,
        observer: Observer | None = None,
    ) -> None:
        self.config, self.run, self.observer = config, run, observer or Silent()
        if config.device == "cuda" and not torch.cuda.is_available():
            raise UsageError("--device cuda: there is no CUDA device; use --device cpu")
        device = "cuda" if config.device == "cuda" else "cpu"
        self.precision = resolve_precision(config.precision, device)
        torch.set_num_threads(config.threads)
        keep_freed_memory()
        self.env, self.algorithm = config.env_info(), find_algorithm(config.algorithm)
        self.learner = learner_of(config, device, bf16=self.precision == "bf16")
        self.batches = Batches(config, self.env, dataset, self.learner.device)
        self.env_step = 0
        self.episode = 0
        self.best_validation = float("-inf")
        self.stopped_early = False
        self._interval = IntervalMeans()
        self._clock = (time.perf_counter(), 0)
        self._metrics_size = 0
        self.notes: list[str] = []
        self.check_recorded: Callable[[str], object] | None = None

    def train(self) -> None:
        """Train from the present step to the end of the run.

        Raises:
            RefusedError: another process trains this run.
            DivergedError: see `check_divergence`.
        """
        with self.run.writing(self._metrics_size):
            self._train()

    def _train(self) -> None:
        config = self.config
        offline_updates = config.pretrain_updates if config.uses_env else config.updates
        if self.learner.update_step < offline_updates and self.episode == 0:
            self._pretrain(offline_updates)
        if config.uses_env:
            with recording(config) as journal:
                if not self.stopped_early:
                    self._train_online(journal)
                if journal is not None:
                    publish_recording(config, journal, self.episode, self.check_recorded)
        self._save_policy("last")
        if not (self.run.path / "policy.safetensors").is_file():
            self._save_policy("policy")

    def _pretrain(self, total: int) -> None:
        """Update on the dataset alone."""
        self.observer.phase("offline updates", total, self.learner.update_step)
        self._clock = (time.perf_counter(), self.learner.update_step)
        while self.learner.update_step < total:
            self._update(online=False)
            if self.learner.update_step % 100 == 0:
                self.observer.advance(100)
            due = self.learner.update_step % CHECKPOINT_EVERY == 0
            if due and self.learner.update_step < total:
                self._checkpoint()
        if self.config.uses_env:
            self._validate()
        else:
            self._log_rest()
        self._checkpoint()

    def _train_online(self, journal: Journal | None) -> None:
        """Run training episodes, with updates after each env step."""
        config = self.config
        recorder = EpisodeRecorder(self.env.make())
        self.observer.phase("online episodes", config.online_episodes, self.episode)
        self._clock = (time.perf_counter(), self.learner.update_step)
        try:
            while self.episode < config.online_episodes and not self.stopped_early:
                episode = self._run_episode(recorder)
                if journal is not None and self.episode not in journal:
                    journal.append(self.episode, episode)
                self.run.log(
                    EpisodeRecord(
                        update_step=self.learner.update_step,
                        env_step=self.env_step,
                        episode=self.episode,
                        episode_return=episode.episode_return,
                        length=len(episode),
                        outcome=self.env.outcome(episode),
                    )
                )
                self.episode += 1
                self.observer.advance(
                    1, episode_return=episode.episode_return, env_step=self.env_step
                )
                if self.episode % config.validate_every == 0:
                    self._validate()
                    if self.episode < config.online_episodes and not self.stopped_early:
                        self._checkpoint()
        finally:
            recorder.env.close()
        self._log_rest()
        self._checkpoint()

    def _run_episode(self, recorder: EpisodeRecorder) -> Episode:
        seed = self.config.seed
        recorder.start(episode_seed(seed, Purpose.TRAINING_EPISODE, self.episode))
        rng = generator(seed, Purpose.TRAINING_ACTION, self.episode)
        episode = None
        while episode is None:
            action = self._choose(recorder.observations[-1], rng)
            episode = recorder.step(action)
            self.batches.replay.add(
                recorder.observations[-2],
                action,
                recorder.rewards[-1],
                recorder.observations[-1],
                terminated=recorder.terminated,
                truncated=recorder.truncated,
            )
            self.env_step += 1
            for _ in range(self._updates_due()):
                self._update(online=True)
        return episode

    def _choose(self, observation: Any, rng: np.random.Generator) -> Any:
        if self.env_step < self.config.random_steps:
            chosen = np.asarray(self.env.random_action(rng))[None]
        else:
            chosen = act(self.learner.policy, observation[None], [rng])
        return repeatable(self.env.action_space, chosen)[0]

    def _updates_due(self) -> int:
        """Return the number of updates after this env step: 0 in the warm-up, then `utd_ratio`.

        A fractional ratio is exact on average over the env steps.
        """
        if self.env_step <= max(self.config.warmup_steps, self.config.random_steps):
            return 0
        ratio = self.config.utd_ratio
        return int(self.env_step * ratio) - int((self.env_step - 1) * ratio)

    def _update(self, *, online: bool) -> None:
        batch = self.batches.draw(self.learner.update_step, online=online)
        if online and self.batches.balanced:
            self.batches.balanced.update(batch, self.learner.update_step)
        metrics = self.learner.update(batch, self.episode if online else None)
        last = not self.config.uses_env and self.learner.update_step == self.config.updates
        if last or self.learner.update_step % ACCUMULATE_EVERY == 0:
            self._interval.add(metrics)
        if self.learner.update_step % LOG_EVERY == 0:
            self._log_interval()

    def _log_rest(self) -> None:
        """Log the rest of the metrics, before the last checkpoint, which then holds none."""
        if self._interval:
            self._log_interval()

    def _log_interval(self) -> None:
        """Log the mean of every metric since the last interval record."""
        now, (since, update_step) = time.perf_counter(), self._clock
        metrics = self._interval.take()
        check_divergence(metrics, self.learner.update_step, self.env, self.algorithm)
        rate = (self.learner.update_step - update_step) / (now - since)
        self.run.log(IntervalRecord(self.learner.update_step, self.env_step, metrics, rate))
        self._clock = (now, self.learner.update_step)

    def _validate(self) -> None:
        """Evaluate on the validation seeds; save the policy if its mean return is the best."""
        if not self.config.validation_episodes:
            return
        before = time.perf_counter()
        act = policy_act(self.learner.average.policy, stochastic=False)
        found = validate(self.env, act, self.config.validation_episodes, self.observer)
        self.observer.phase("online episodes", self.config.online_episodes, self.episode)
        steps = self.learner.update_step, self.env_step, self.episode
        self.run.log(ValidationRecord.of_summary(*steps, found))
        if found.mean > self.best_validation:
            self.best_validation = found.mean
            self._save_policy("policy")
        self.observer.advance(0, validation_mean=found.mean)
        stop = self.config.stop_return
        self.stopped_early = bool(stop) and found.mean >= stop
        # exclude the time of the validation from the update rate
        self._clock = (self._clock[0] + time.perf_counter() - before, self._clock[1])

    def _save_policy(self, name: str) -> None:
        save_policy(
            self.run.path / f"{name}.safetensors",
            self.learner.average.policy,
            self.env,
            self.config.agent.hidden,
            {
                "algorithm": self.config.algorithm,
                "dataset": self.config.dataset,
                "rho": self.config.rho,
                "seed": self.config.seed,
                "update_step": self.learner.update_step,
                "env_step": self.env_step,
            },
        )

    def _checkpoint(self) -> None:
        interval = self._interval.state()
        check_finite(interval["sums"], self.learner.update_step, self.algorithm)
        tensors = self.learner.state_tensors() | self.batches.state_tensors()
        counters = Counters(
            update_step=self.learner.update_step,
            env_step=self.env_step,
            episode=self.episode,
            cursor=self.batches.replay.cursor,
            best_validation=self.best_validation if np.isfinite(self.best_validation) else None,
            stopped_early=self.stopped_early,
            metrics_size=self.run.metrics_size(),
            interval=interval,
        )
        self.run.save_checkpoint(tensors, counters)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Restore the state in a checkpoint that meets `checkpoint_spec`.

        Raises:
            ValueError: the state is invalid, such as a replay buffer that the env cannot produce.
        """
        tensors, counters = checkpoint.tensors, checkpoint.counters
        self.batches.load_state_tensors(tensors, counters.cursor)
        self.learner.load_state_tensors(tensors, counters.update_step)
        self.env_step, self.episode = counters.env_step, counters.episode
        if counters.best_validation is not None:
            self.best_validation = counters.best_validation
        self.stopped_early = counters.stopped_early
        self._interval = IntervalMeans.of_state(counters.interval)
        self._metrics_size = counters.metrics_size
        self.notes += checkpoint.notes
