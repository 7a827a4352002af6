// Training over MPI. This program starts itself under mpirun; what the ranks do is in the tests named ParallelRank,
// which do nothing in an ordinary run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>

#include "train/train_test_util.h"

namespace steno {
namespace {

using test::LineFit;
using test::Numbers;
using test::TemporaryFolder;
using testing::HasSubstr;

constexpr const char* kFolder = "STENO_PARALLEL_TEST";  // set for the ranks: where they write

struct Ended {
  int status;
  std::string output;
};

Ended under_mpirun(int ranks, const std::string& test, const std::filesystem::path& folder) {
  // A machine without a network of its own, fewer cores than ranks, a container's root: all are fine for a test. Under
  // the sanitizers Open MPI's own leaks do not count.
  const std::string command = fmt::format(
      "{}={} ASAN_OPTIONS=detect_leaks=0 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1 "
      "OMPI_MCA_btl_vader_single_copy_mechanism=none timeout 120 mpirun --oversubscribe --bind-to none -n {} {} "
      "--gtest_filter=ParallelRank.{} 2>&1",
      kFolder, folder.string(), ranks, std::filesystem::read_symlink("/proc/self/exe").string(), test);
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) throw std::runtime_error("no pipe");
  Ended ended;
  char piece[4096];
  for (size_t n; (n = fread(piece, 1, sizeof piece, pipe)) > 0;) ended.output.append(piece, n);
  const int status = pclose(pipe);
  ended.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return ended;
}

bool can_launch() { return built_with_mpi() && std::system("command -v mpirun >/dev/null 2>&1") == 0; }
#define SKIP_WITHOUT_MPI() \
  if (!can_launch()) GTEST_SKIP() << "needs a build with MPI (STENO_MPI) and mpirun"
#define SKIP_UNLESS_LAUNCHED() \
  if (!std::getenv(kFolder)) GTEST_SKIP() << "runs under mpirun only; the tests named Parallel start it"

TrainConfig short_config() {
  TrainConfig config = test::line_config();
  config.steps = 20;
  config.batch = 8;
  return config;
}

void train(LineFit& objective, Communicator& ranks, const std::filesystem::path& folder) {
  const Numbers data(50);
  Trainer(objective, data, nullptr, ranks, short_config(), {folder, false, {}, {}}, {}).run();
}

// A rank's exception ends the program the way main does.
template <class F>
void as_program(F&& work) {
  int status = 0;
  try {
    work();
  } catch (const Error& error) {
    status = static_cast<int>(error.code());
    std::fprintf(stderr, "steno: error: %s\n", error.what());
  }
  close_ranks(status);
  if (status != 0) _exit(status);
}

TEST(Parallel, TwoRanksGiveTheWeightsOfOne) {
  SKIP_WITHOUT_MPI();
  const TemporaryFolder folder;
  const Ended ended = under_mpirun(2, "Trains", folder.path());
  ASSERT_EQ(ended.status, 0) << ended.output;

  LineFit one;
  const auto alone = single_process();
  const TemporaryFolder other;
  train(one, *alone, other.path());
  const auto shared = SafetensorsFile::open(folder.path() / "adapter" / "model.safetensors");
  EXPECT_LT((shared->tensor("slope") - one.slope()).abs().max().item<double>(), 1e-5);
  EXPECT_LT((shared->tensor("offset") - one.offset()).abs().max().item<double>(), 1e-5);
  EXPECT_GT(one.slope().abs().max().item<double>(), 0.1) << "something was learned";
}

TEST(ParallelRank, Trains) {
  SKIP_UNLESS_LAUNCHED();
  const auto ranks = open_communicator(at::kCPU);
  ASSERT_EQ(ranks->size(), 2);
  LineFit objective;
  int64_t seen = 0;
  objective.before = [&](const Example&) { ++seen; };
  train(objective, *ranks, std::getenv(kFolder));
  EXPECT_EQ(seen, 20 * 4) << "half of each batch";
}

TEST(Parallel, Collectives) {
  SKIP_WITHOUT_MPI();
  const TemporaryFolder folder;
  const Ended ended = under_mpirun(3, "Collectives", folder.path());
  EXPECT_EQ(ended.status, 0) << ended.output;
}

TEST(ParallelRank, Collectives) {
  SKIP_UNLESS_LAUNCHED();
  const auto ranks = open_communicator(at::kCPU);
  ASSERT_EQ(ranks->size(), 3);
  EXPECT_EQ(local_rank(), ranks->rank());
  // Numbers of every size, so that the order of addition shows in the bits.
  at::manual_seed(static_cast<uint64_t>(ranks->rank()));
  const at::Tensor mine = at::randn({10007}) * at::pow(10, at::randint(-6, 6, {10007}));
  at::Tensor sum = mine.clone(), expected = at::zeros({10007}, at::kDouble);
  ranks->sum(sum);
  for (int root = 0; root < 3; ++root) {
    at::Tensor theirs = mine.clone(), their_sum = sum.clone();
    ranks->broadcast(theirs, root);
    ranks->broadcast(their_sum, root);
    EXPECT_TRUE(at::equal(their_sum, sum)) << "bit-equal on all ranks";
    EXPECT_EQ(at::equal(theirs, mine), root == ranks->rank());
    expected += theirs;
  }
  EXPECT_TRUE(at::allclose(sum.to(at::kDouble), expected, 1e-5, 1e-6));

  at::Tensor count = at::full({2}, int64_t{1} << 40, at::kLong), none = at::empty({0}),
             bytes = at::zeros({3}, at::kByte);
  ranks->sum(count);
  ranks->sum(none);
  EXPECT_EQ(count[1].item<int64_t>(), int64_t{3} << 40);
  bytes.fill_(ranks->rank());
  ranks->broadcast(bytes, 2);
  EXPECT_EQ(bytes[2].item<int>(), 2);
  at::Tensor leaf = at::ones({2}).set_requires_grad(true);
  ranks->sum(leaf);
  EXPECT_EQ(leaf[0].item<float>(), 3);
  ranks->barrier();
  EXPECT_TRUE(ranks->any(ranks->rank() == 1));
  EXPECT_FALSE(ranks->any(false));
}

TEST(Parallel, AKilledRankEndsTheRun) {
  SKIP_WITHOUT_MPI();
  const TemporaryFolder folder;
  const Ended ended = under_mpirun(2, "IsKilled", folder.path());
  EXPECT_NE(ended.status, 0);
  EXPECT_NE(ended.status, 124) << "the other rank waits for ever:\n" << ended.output;
  EXPECT_THAT(ended.output, AllOf(HasSubstr("rank 1"), HasSubstr("signal 9")));
}

TEST(ParallelRank, IsKilled) {
  SKIP_UNLESS_LAUNCHED();
  const auto ranks = open_communicator(at::kCPU);
  LineFit objective;
  objective.before = [&](const Example& e) {
    if (ranks->rank() == 1 && e.sample >= 60) std::raise(SIGKILL);
  };
  train(objective, *ranks, std::getenv(kFolder));
}

// The trainer tells the other ranks, so that all end by themselves. Which status mpirun passes on is chance.
TEST(Parallel, ARankThatFailsInAStepEndsTheRunWithItsReason) {
  SKIP_WITHOUT_MPI();
  const TemporaryFolder folder;
  const Ended ended = under_mpirun(2, "FailsInAStep", folder.path());
  EXPECT_NE(ended.status, 0);
  EXPECT_NE(ended.status, 124) << "the other rank waits for ever:\n" << ended.output;
  EXPECT_THAT(ended.output, AllOf(HasSubstr("sample 60 cannot be read"), HasSubstr("another rank failed"),
                                  HasSubstr("checkpoint"), HasSubstr("--resume")));
}

TEST(ParallelRank, FailsInAStep) {
  SKIP_UNLESS_LAUNCHED();
  as_program([] {
    const auto ranks = open_communicator(at::kCPU);
    LineFit objective;
    objective.before = [](const Example& e) {
      if (e.sample == 60) throw InputError("sample 60 cannot be read");
    };
    train(objective, *ranks, std::getenv(kFolder));
  });
}

// Nobody tells the other rank, which waits in a collective call.
TEST(Parallel, ARankThatFailsAloneStopsTheOthers) {
  SKIP_WITHOUT_MPI();
  const TemporaryFolder folder;
  const Ended ended = under_mpirun(2, "FailsAlone", folder.path());
  EXPECT_EQ(ended.status, static_cast<int>(ExitCode::input)) << ended.output;
  EXPECT_THAT(ended.output, AllOf(HasSubstr("no such data"), HasSubstr("rank 1 of 2 failed"), HasSubstr("--resume")));
}

TEST(ParallelRank, FailsAlone) {
  SKIP_UNLESS_LAUNCHED();
  as_program([] {
    const auto ranks = open_communicator(at::kCPU);
    if (ranks->rank() == 1) throw InputError("no such data");
    ranks->barrier();
  });
}

// One is done early, one fails late: nobody is stopped, both statuses stand.
TEST(Parallel, RanksThatAllEndAreNotStopped) {
  SKIP_WITHOUT_MPI();
  const TemporaryFolder folder;
  const Ended ended = under_mpirun(2, "EndsAfterTheOther", folder.path());
  EXPECT_EQ(ended.status, static_cast<int>(ExitCode::resource)) << ended.output;
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "late")) << ended.output;
}

TEST(ParallelRank, EndsAfterTheOther) {
  SKIP_UNLESS_LAUNCHED();
  as_program([] {
    const auto ranks = open_communicator(at::kCPU);
    if (ranks->rank() == 1) return;
    usleep(500'000);
    std::ofstream(std::filesystem::path(std::getenv(kFolder)) / "late") << "here";
    throw ResourceError("something at the end");
  });
}

TEST(Communicator, WithoutALauncherThereIsOneProcess) {
  if (std::getenv(kFolder)) GTEST_SKIP() << "this is a rank";
  EXPECT_EQ(launched_ranks(), 1);
  EXPECT_EQ(local_rank(), 0);
  EXPECT_EQ(open_communicator(at::kCPU)->size(), 1);
  close_ranks(0);
  ::setenv("SLURM_STEP_NUM_TASKS", "4", 1);
  EXPECT_EQ(launched_ranks(), 4);
  if (!built_with_mpi()) {
    EXPECT_THROW(open_communicator(at::kCPU), UsageError);
  }
  ::unsetenv("SLURM_STEP_NUM_TASKS");
}

}  // namespace
}  // namespace steno
