"""The training loop: pretrain on the dataset, then fly, mix and update."""

import time
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from lunar_offline import envs
from lunar_offline.data.mixing import (
    MixedSampler,
    SharedBufferSampler,
    buffer_mode_episodes,
    split_batch,
)
from lunar_offline.data.replay import ReplayBuffer
from lunar_offline.errors import UsageError
from lunar_offline.experiment.averages import Averages
from lunar_offline.experiment.config import TrainConfig
from lunar_offline.experiment.evaluate import fly, policy_act, summarise
from lunar_offline.experiment.policy_file import save_policy
from lunar_offline.experiment.progress import Observer, Silent
from lunar_offline.experiment.run_dir import RunDir
from lunar_offline.learn.agent import Agent, Batch, to_device
from lunar_offline.learn.memory import keep_freed_memory
from lunar_offline.learn.policies import ActionSpec, act
from lunar_offline.learn.precision import resolve_precision
from lunar_offline.seeding import Purpose, episode_seed, generator
from lunar_offline.transitions import Transitions, transition_dtype

LOG_EVERY = 1_000
ACCUMULATE_EVERY = 10
CHECKPOINT_EVERY = 5_000


class Training:
    """One run: agent, data, counters. Everything it draws is counted, so it resumes bit-exactly.

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
        self.env = envs.lander(discrete=config.discrete)
        self.agent = Agent(
            config.agent,
            ActionSpec(self.env.discrete, self.env.action_size),
            self.env.observation_size,
            config.seed,
            device,
            bf16=self.precision == "bf16",
        )
        space = self.env.action_space
        dtype = transition_dtype((self.env.observation_size,), space.shape or (), space.dtype)
        self.replay = ReplayBuffer(config.buffer_size, dtype)
        offline = dataset if dataset is not None else Transitions(np.empty(0, dtype))
        if config.rho_mode == "buffer":
            if dataset is None:
                raise UsageError("--rho-mode buffer needs a dataset")
            n = buffer_mode_episodes(config.rho, config.online_episodes)
            there = len(dataset.episode_ends())
            if n > there:
                raise UsageError(
                    f"rho {config.rho} of {config.online_episodes} online episodes needs {n} "
                    f"offline ones; {config.dataset} has {there}"
                )
            offline = dataset.first_episodes(n)
            self.replay.extend(offline)
            self._online: MixedSampler | SharedBufferSampler = SharedBufferSampler(
                self.replay, config.batch_size
            )
        else:
            n_offline, n_online = split_batch(config.rho, config.batch_size)
            self._online = MixedSampler(((offline, n_offline), (self.replay, n_online)), dtype)
        self._pretraining = MixedSampler(((offline, config.batch_size), (self.replay, 0)), dtype)
        self.env_step = 0
        self.episode = 0
        self.best_validation = float("-inf")
        self.stopped_early = False
        self._averages = Averages()
        self._clock = (time.perf_counter(), 0)
        self.notes: list[str] = []

    def train(self) -> None:
        """Run to the end, from wherever it stands."""
        config = self.config
        offline_updates = config.updates if not config.touches_env else config.pretrain_updates
        if self.agent.update_step < offline_updates and self.episode == 0:
            self._pretrain(offline_updates)
        if config.touches_env and not self.stopped_early:
            self._fly_and_learn()
        self.run.close()
        self._save_policy("last")
        if not (self.run.path / "policy.safetensors").is_file():
            self._save_policy("policy")

    def _pretrain(self, total: int) -> None:
        """Update on the dataset alone."""
        self.observer.phase("offline updates", total, self.agent.update_step)
        self._clock = (time.perf_counter(), self.agent.update_step)
        while self.agent.update_step < total:
            self._update(self._pretraining, online=False)
            if self.agent.update_step % 100 == 0:
                self.observer.advance(100)
            if self.agent.update_step % CHECKPOINT_EVERY == 0 and self.agent.update_step < total:
                self._checkpoint()
        if self.config.touches_env:
            self._validate()
        self._checkpoint()

    def _fly_and_learn(self) -> None:
        """Fly training episodes, with updates after each env step."""
        config = self.config
        env = self.env.make()
        self.observer.phase("online episodes", config.online_episodes, self.episode)
        self._clock = (time.perf_counter(), self.agent.update_step)
        try:
            while self.episode < config.online_episodes and not self.stopped_early:
                line = self._fly_episode(env)
                self.episode += 1
                self.run.append_metrics(line)
                self.observer.advance(
                    1, episode_return=line["episode_return"], env_step=self.env_step
                )
                if self.episode % config.validate_every == 0:
                    self._validate()
                    self._checkpoint()
        finally:
            env.close()
        self._checkpoint()

    def _fly_episode(self, env: gym.Env) -> dict[str, Any]:
        config = self.config
        rng = generator(config.seed, Purpose.TRAINING_ACTION, self.episode)
        observation, _ = env.reset(
            seed=episode_seed(config.seed, Purpose.TRAINING_EPISODE, self.episode)
        )
        episode_return, length, reward = 0.0, 0, 0.0
        terminated = truncated = False
        while not (terminated or truncated):
            action = self._choose(observation, rng)
            next_observation, step_reward, terminated, truncated, _ = env.step(action)
            reward = float(step_reward)
            self.replay.add(
                observation,
                action,
                reward,
                next_observation,
                terminated=terminated,
                truncated=truncated,
            )
            observation = next_observation
            episode_return += reward
            length += 1
            self.env_step += 1
            for _ in range(self._updates_due()):
                self._update(self._online, online=True)
        return {
            "episode": self.episode,
            "env_step": self.env_step,
            "update_step": self.agent.update_step,
            "episode_return": episode_return,
            "length": length,
            "outcome": envs.outcome(reward, terminated=terminated),
        }

    def _choose(self, observation: Any, rng: np.random.Generator) -> Any:
        if self.env_step < self.config.random_steps:
            return self.env.random_action(rng)
        return act(self.agent.policy, observation[None], [rng])[0]

    def _updates_due(self) -> int:
        """Return this env step's share of `utd_ratio`, once the warm-up is over."""
        if self.env_step <= max(self.config.warmup_steps, self.config.random_steps):
            return 0
        ratio = self.config.utd_ratio
        return int(self.env_step * ratio) - int((self.env_step - 1) * ratio)

    def _update(self, sampler: MixedSampler | SharedBufferSampler, *, online: bool) -> None:
        config = self.config
        rng = generator(config.seed, Purpose.BATCH, self.agent.update_step)
        rows, n_offline = sampler.sample(rng)
        penalised = len(rows) if config.penalised_rows == "all" else n_offline
        batch = to_batch(rows, penalised, self.agent.device)
        metrics = self.agent.update(batch, config.weight(online=online))
        if self.agent.update_step % ACCUMULATE_EVERY == 0:
            self._averages.add(metrics)
        if self.agent.update_step % LOG_EVERY == 0:
            self._log()

    def _log(self) -> None:
        """Write the mean of every metric since the last line."""
        now, (since, update_step) = time.perf_counter(), self._clock
        line: dict[str, Any] = {
            "update_step": self.agent.update_step,
            "env_step": self.env_step,
            **self._averages.take(),
            "updates_per_s": (self.agent.update_step - update_step) / (now - since),
        }
        self.run.append_metrics(line)
        self._clock = (now, self.agent.update_step)

    def _validate(self) -> None:
        """Fly the validation seeds; keep the policy if it is the best so far."""
        if not self.config.validation_episodes:
            return
        before = time.perf_counter()
        flown = fly(
            self.env,
            policy_act(self.agent.averaged_policy, stochastic=False),
            self.config.validation_episodes,
            stream="validation",
        )
        summary = summarise(flown)
        self.run.append_metrics(
            {
                "update_step": self.agent.update_step,
                "env_step": self.env_step,
                "episode": self.episode,
                "validation_mean": summary["mean"],
                "validation_min": summary["min"],
                "validation_crash_rate": summary["crash_rate"],
                "validation_frames": summary["frames"],
            }
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
            self.agent.averaged_policy,
            self.env,
            self.config.agent.hidden,
            {
                "algorithm": self.config.algorithm,
                "dataset": self.config.dataset,
                "rho": self.config.rho,
                "seed": self.config.seed,
                "update_step": self.agent.update_step,
                "env_step": self.env_step,
            },
        )

    def _checkpoint(self) -> None:
        records = np.ascontiguousarray(self.replay.records)
        tensors = self.agent.state_tensors() | {
            "replay.records": torch.from_numpy(records.view(np.uint8).reshape(-1)),
            "replay.offline": torch.from_numpy(self.replay.offline),
        }
        counters = {
            "update_step": self.agent.update_step,
            "env_step": self.env_step,
            "episode": self.episode,
            "cursor": self.replay.cursor,
            "best_validation": self.best_validation if np.isfinite(self.best_validation) else None,
            "stopped_early": self.stopped_early,
            "metrics_size": self.run.metrics_size(),
            "averages": self._averages.state(),
        }
        self.run.save_checkpoint(tensors, counters)

    def restore(self, tensors: dict[str, Tensor], counters: dict[str, Any]) -> None:
        """Continue from a checkpoint, with the metrics cut back to it."""
        self.agent.load_state_tensors(tensors, counters["update_step"])
        raw = tensors["replay.records"].numpy().view(self.replay.records.dtype)
        self.replay.restore(raw, tensors["replay.offline"].numpy(), counters["cursor"])
        self.env_step, self.episode = counters["env_step"], counters["episode"]
        if counters["best_validation"] is not None:
            self.best_validation = counters["best_validation"]
        self.stopped_early = counters["stopped_early"]
        self._averages = Averages.of_state(counters["averages"])
        self.run.truncate_metrics(counters["metrics_size"])
        self.notes = [
            f"checkpoint {name} is damaged; continuing from the one before"
            for name in counters["damaged"]
        ]


def to_batch(rows: Transitions, n_penalised: int, device: torch.device) -> Batch:
    """Copy a batch of records into tensors."""
    return Batch(
        observations=to_device(rows.observations, device),
        actions=to_device(rows.actions, device),
        rewards=to_device(rows.rewards, device),
        next_observations=to_device(rows.next_observations, device),
        terminations=to_device(rows.terminations, device),
        n_penalised=n_penalised,
    )
