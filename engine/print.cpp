#include <cmath>
#include <iomanip>

#include "engine/tensor.h"

namespace engine {
namespace {

constexpr int64_t kEdge = 3;      // elements shown at each end of a long axis
constexpr int64_t kShowAll = 64;  // elements of a tensor that is shown whole

struct Printer {
  const Tensor& host;
  std::ostream& out;
  bool abbreviate;

  void element(int64_t index) const {
    dispatch_all(host.dtype(), [&]<class T>() {
      const T value = static_cast<const T*>(host.memory())[index];
      if constexpr (std::is_integral_v<T>)
        out << static_cast<int64_t>(value);
      else
        out << std::setprecision(host.dtype() == DType::bf16 ? 3 : 5) << static_cast<double>(value);
    });
  }

  void axis(int depth, int64_t offset) const {
    if (depth == host.rank()) return element(offset);
    const int64_t size = host.size(depth), step = host.shape().elements(depth + 1, host.rank());
    const bool innermost = depth + 1 == host.rank();
    const std::string between = innermost ? " " : ",\n" + std::string(static_cast<size_t>(depth) + 1, ' ');
    out << "[";
    for (int64_t i = 0; i < size; ++i) {
      if (abbreviate && size > 2 * kEdge && i == kEdge) {
        out << (innermost ? " ..." : ",\n ...");
        i = size - kEdge;
      }
      if (i > 0) out << between;
      axis(depth + 1, offset + i * step);
    }
    out << "]";
  }
};

}  // namespace

std::ostream& operator<<(std::ostream& out, const Tensor& tensor) { return out << to_string(tensor); }

std::string to_string(const Tensor& tensor) {
  if (!tensor) return "Tensor(undefined)";
  std::ostringstream out;
  out << "Tensor " << tensor.shape() << " " << tensor.dtype() << " " << tensor.device() << "\n";
  const Tensor host = tensor.to(kCpu);
  Printer{host, out, tensor.elements() > kShowAll}.axis(0, 0);
  return out.str();
}

}  // namespace engine
