// Public data sets, fetched with curl and checked with md5sum. The checksums are those that the
// publishers of the sets print beside them (torchvision's for MNIST, whose first home is gone).
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/log.h"
#include "data/make.h"

extern char** environ;

namespace espalier {
namespace {

namespace fs = std::filesystem;

std::vector<RemoteFile> mnist_files(const std::vector<std::string>& bases,
                                    const std::vector<std::string>& sums) {
  const std::vector<std::string> names = {"train-images-idx3-ubyte.gz",
                                          "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz",
                                          "t10k-labels-idx1-ubyte.gz"};
  std::vector<RemoteFile> files;
  for (size_t i = 0; i < names.size(); ++i) {
    RemoteFile file{names[i], {}, sums[i]};
    for (const std::string& base : bases) file.urls.push_back(base + names[i]);
    files.push_back(std::move(file));
  }
  return files;
}

/// Runs a program found in the path, standard input and error inherited, and returns what it wrote
/// to standard output. Throws UserError when it cannot start or fails.
std::string run(const std::vector<std::string>& command, const std::string& where,
                const std::string& failure) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    throw bad_input(command[0], std::string("cannot be run: ") + std::strerror(errno));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  std::string output;
  char buffer[4096];
  for (ssize_t n; error == 0 && (n = ::read(ends[0], buffer, sizeof buffer)) != 0;) {
    if (n > 0) output.append(buffer, size_t(n));
    if (n < 0 && errno != EINTR) break;
  }
  ::close(ends[0]);
  if (error != 0)
    throw unsupported(command[0], std::string("cannot be run: ") + std::strerror(error),
                      "install it, for example with apt install curl coreutils tar");
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw bad_input(where, failure,
                    command[0] + " ended with status " +
                        std::to_string(WIFEXITED(status) ? WEXITSTATUS(status) : -1));
  return output;
}

std::string md5_of(const fs::path& file) {
  // A name with special characters would be escaped in the answer; standard input has none.
  const std::string answer =
      run({"sh", "-c", "md5sum < \"$0\"", file.string()}, file.string(), "cannot be summed");
  return answer.substr(0, 32);
}

bool download(const std::string& url, const fs::path& to) {
  std::vector<std::string> command = {
      "curl", "--fail",   "--location", "--retry", "2", "--connect-timeout",
      "20",   "--output", to.string(),  url};
  command.insert(command.begin() + 1, is_quiet() ? "--silent" : "--progress-bar");
  try {
    run(command, url, "cannot be fetched");
    return true;
  } catch (const UserError& e) {
    if (e.code() == ExitCode::kUnsupported) throw;
    log_warning(std::string(e.what()) + " (" + e.hint() + ")");
    return false;
  }
}

void get_file(const RemoteFile& file, const fs::path& folder) {
  const fs::path target = folder / file.name;
  if (fs::exists(target) && md5_of(target) == file.md5) return;
  const fs::path partial = folder / (file.name + ".part");
  for (const std::string& url : file.urls) {
    log_info("fetching " + url);
    if (!download(url, partial)) continue;
    const std::string sum = md5_of(partial);
    if (sum == file.md5) {
      fs::rename(partial, target);
      return;
    }
    fs::remove(partial);
    log_warning(url + ": has checksum " + sum + ", not " + file.md5);
  }
  std::error_code ignored;
  fs::remove(partial, ignored);
  throw bad_input(file.name, "could not be fetched with the right checksum",
                  "check the connection, or put the file into " + folder.string() + " yourself");
}

}  // namespace

const std::vector<NamedSet>& named_sets() {
  static const std::vector<NamedSet> sets = {
      {"mnist", "70,000 handwritten digits, 28x28 grey, 10 classes",
       mnist_files({"https://ossci-datasets.s3.amazonaws.com/mnist/",
                    "https://storage.googleapis.com/cvdf-datasets/mnist/"},
                   {"f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
                    "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c"}),
       "", "idx"},
      {"fashion-mnist", "70,000 pieces of clothing, 28x28 grey, 10 classes",
       mnist_files({"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/"
                    "fashion/"},
                   {"8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
                    "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"}),
       "", "idx"},
      {"cifar10",
       "60,000 small photographs, 32x32 colour, 10 classes",
       {{"cifar-10-binary.tar.gz",
         {"https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"},
         "c32a1d4ab5d03f1284b67883e8d87530"}},
       "cifar-10-batches-bin",
       "cifar"},
      {"cifar100",
       "60,000 small photographs, 32x32 colour, 100 classes",
       {{"cifar-100-binary.tar.gz",
         {"https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"},
         "03b5dce01913d631647c71ecec9e9cb8"}},
       "cifar-100-binary",
       "cifar"},
  };
  return sets;
}

const NamedSet& find_named_set(const std::string& name) {
  std::string known;
  for (const NamedSet& set : named_sets()) {
    if (set.name == name) return set;
    known += (known.empty() ? "" : ", ") + set.name;
  }
  throw usage_error("data set '" + name + "'", "is not known", "sets are " + known);
}

std::string get_data(const NamedSet& set, const fs::path& folder) {
  try {
    fs::create_directories(folder);
    for (const RemoteFile& file : set.files) get_file(file, folder);
    if (set.archive_folder.empty()) return set.kind + ":" + folder.string();
    for (const RemoteFile& file : set.files)
      run({"tar", "--extract", "--gzip", "--no-same-owner", "--directory", folder.string(),
           "--file", (folder / file.name).string()},
          (folder / file.name).string(), "cannot be unpacked");
    return set.kind + ":" + (folder / set.archive_folder).string();
  } catch (const fs::filesystem_error& e) {
    throw bad_input(folder.string(), "cannot be written: " + e.code().message());
  }
}

}  // namespace espalier
