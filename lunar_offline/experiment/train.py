"""The training loop: pretrain on the dataset, then fly, mix and update."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from lunar_offline.data.journal import Journal
from lunar_offline.data.rollout import Flight
from lunar_offline.errors import UsageError
from lunar_offline.experiment.averages import Averages
from lunar_offline.experiment.checkpoint import Checkpoint, Counters
from lunar_offline.experiment.config import TrainConfig
from lunar_offline.experiment.evaluate import fly, policy_act, summarise
from lunar_offline.experiment.feed import Feed
from lunar_offline.experiment.health import check_finite, check_health
from lunar_offline.experiment.learners import learner_of
from lunar_offline.experiment.policy_file import save_policy
from lunar_offline.experiment.progress import Observer, Silent
from lunar_offline.experiment.recording import publish_recording, recording
from lunar_offline.experiment.run_dir import RunDir
from lunar_offline.learn.memory import keep_freed_memory
from lunar_offline.learn.policies import act
from lunar_offline.learn.precision import resolve_precision
from lunar_offline.seeding import Purpose, episode_seed, generator
from lunar_offline.transitions import Episode, Transitions

LOG_EVERY = 1_000
ACCUMULATE_EVERY = 10
CHECKPOINT_EVERY = 5_000


class Training:
    """One run: learner, data, counters. Everything it draws is counted, so it resumes bit-exactly.

    Args:
        config: the resolved configuration.
        run: where it is recorded.
        dataset: all transitions of the dataset; None for rho 0.
        observer: hears of the progress.
    """

    def __init__(
        self,
        config: TrainConfig,
        run: RunDir,
        dataset: Transitions | None,
        observer: Observer | None = None,
    ) -> None:
        self.config, self.run, self.observer = config, run, observer or Silent()
        if config.device == "cuda" and not torch.cuda.is_available():
            raise UsageError("--device cuda: no CUDA device is there; leave it out")
        device = "cuda" if config.device == "cuda" else "cpu"
        self.precision = resolve_precision(config.precision, device)
        torch.set_num_threads(config.threads)
        keep_freed_memory()
        self.env = config.env_info()
        self.learner = learner_of(config, device, bf16=self.precision == "bf16")
        self.feed = Feed(config, self.env, dataset, self.learner.device)
        self.env_step = 0
        self.episode = 0
        self.best_validation = float("-inf")
        self.stopped_early = False
        self._averages = Averages()
        self._clock = (time.perf_counter(), 0)
        self._metrics_size = 0
        self.notes: list[str] = []
        self.check_recorded: Callable[[str], object] = str

    def train(self) -> None:
        """Run to the end, from wherever it stands.

        Raises:
            RefusedError: another process trains this run.
            DivergedError: see `check_health`.
        """
        with self.run.writing(self._metrics_size):
            self._train()

    def _train(self) -> None:
        config = self.config
        offline_updates = config.updates if not config.touches_env else config.pretrain_updates
        if self.learner.update_step < offline_updates and self.episode == 0:
            self._pretrain(offline_updates)
        if config.touches_env:
            with recording(config) as journal:
                if not self.stopped_early:
                    self._fly_and_learn(journal)
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
        if self.config.touches_env:
            self._validate()
        self._checkpoint()

    def _fly_and_learn(self, journal: Journal | None) -> None:
        """Fly training episodes, with updates after each env step."""
        config = self.config
        flight = Flight(self.env.make())
        self.observer.phase("online episodes", config.online_episodes, self.episode)
        self._clock = (time.perf_counter(), self.learner.update_step)
        try:
            while self.episode < config.online_episodes and not self.stopped_early:
                episode = self._fly_episode(flight)
                if journal is not None and self.episode not in journal:
                    journal.append(self.episode, episode)
                self.run.append_metrics(self._line(episode))
                self.episode += 1
                self.observer.advance(
                    1, episode_return=episode.episode_return, env_step=self.env_step
                )
                if self.episode % config.validate_every == 0:
                    self._validate()
                    self._checkpoint()
        finally:
            flight.env.close()
        self._checkpoint()

    def _fly_episode(self, flight: Flight) -> Episode:
        seed = self.config.seed
        flight.start(
            self.episode,
            episode_seed(seed, Purpose.TRAINING_EPISODE, self.episode),
            generator(seed, Purpose.TRAINING_ACTION, self.episode),
        )
        episode = None
        while episode is None:
            action = self._choose(flight.observations[-1], flight.rng)
            episode = flight.step(action)
            terminated, truncated = flight.ended
            self.feed.replay.add(
                flight.observations[-2],
                action,
                flight.rewards[-1],
                flight.observations[-1],
                terminated=terminated,
                truncated=truncated,
            )
            self.env_step += 1
            for _ in range(self._updates_due()):
                self._update(online=True)
        return episode

    def _line(self, episode: Episode) -> dict[str, Any]:
        return {
            "episode": self.episode,
            "env_step": self.env_step,
            "update_step": self.learner.update_step,
            "episode_return": episode.episode_return,
            "length": len(episode),
            "outcome": self.env.outcome(episode),
        }

    def _choose(self, observation: Any, rng: np.random.Generator) -> Any:
        if self.env_step < self.config.random_steps:
            return self.env.random_action(rng)
        return act(self.learner.policy, observation[None], [rng])[0]

    def _updates_due(self) -> int:
        """Return this env step's share of `utd_ratio`, once the warm-up is over."""
        if self.env_step <= max(self.config.warmup_steps, self.config.random_steps):
            return 0
        ratio = self.config.utd_ratio
        return int(self.env_step * ratio) - int((self.env_step - 1) * ratio)

    def _update(self, *, online: bool) -> None:
        batch = self.feed.batch(self.learner.update_step, online=online)
        weight = self.config.weight(self.episode if online else None)
        metrics = self.learner.update(batch, weight)
        if self.learner.update_step % ACCUMULATE_EVERY == 0:
            self._averages.add(metrics)
        if self.learner.update_step % LOG_EVERY == 0:
            self._log()

    def _log(self) -> None:
        """Write the mean of every metric since the last line."""
        now, (since, update_step) = time.perf_counter(), self._clock
        line: dict[str, Any] = {
            "update_step": self.learner.update_step,
            "env_step": self.env_step,
            **self._averages.take(),
            "updates_per_s": (self.learner.update_step - update_step) / (now - since),
        }
        check_health(line, self.env)
        self.run.append_metrics(line)
        self._clock = (now, self.learner.update_step)

    def _validate(self) -> None:
        """Fly the validation seeds; keep the policy if it is the best so far."""
        if not self.config.validation_episodes:
            return
        before = time.perf_counter()
        flown = fly(
            self.env,
            policy_act(self.learner.average.policy, stochastic=False),
            self.config.validation_episodes,
            stream="validation",
        )
        summary = summarise(flown, self.env)
        self.run.append_metrics(
            {
                "update_step": self.learner.update_step,
                "env_step": self.env_step,
                "episode": self.episode,
                "validation_mean": summary["mean"],
                "validation_min": summary["min"],
                "validation_frames": summary["frames"],
            }
            | ({"validation_crash_rate": summary["crash_rate"]} if self.env.is_lander else {})
        )
        if summary["mean"] > self.best_validation:
            self.best_validation = summary["mean"]
            self._save_policy("policy")
        self.observer.advance(0, validation_mean=summary["mean"])
        stop = self.config.stop_return
        self.stopped_early = bool(stop) and summary["mean"] >= stop
        # the rate of updates leaves the validation out
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
        averages = self._averages.state()
        check_finite(averages["sums"], self.learner.update_step)
        tensors = self.learner.state_tensors() | self.feed.state_tensors()
        counters = Counters(
            update_step=self.learner.update_step,
            env_step=self.env_step,
            episode=self.episode,
            cursor=self.feed.replay.cursor,
            best_validation=self.best_validation if np.isfinite(self.best_validation) else None,
            stopped_early=self.stopped_early,
            metrics_size=self.run.metrics_size(),
            averages=averages,
        )
        self.run.save_checkpoint(tensors, counters)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint that meets `checkpoint_spec`.

        Raises:
            ValueError: its replay is none that the env can give.
        """
        tensors, counters = checkpoint.tensors, checkpoint.counters
        self.feed.load_state_tensors(tensors, counters.cursor)
        self.learner.load_state_tensors(tensors, counters.update_step)
        self.env_step, self.episode = counters.env_step, counters.episode
        if counters.best_validation is not None:
            self.best_validation = counters.best_validation
        self.stopped_early = counters.stopped_early
        self._averages = Averages.of_state(counters.averages)
        self._metrics_size = counters.metrics_size
        self.notes += checkpoint.notes
