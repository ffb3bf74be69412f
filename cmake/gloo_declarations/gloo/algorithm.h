// Declarations only: see context.h.
#pragma once
namespace gloo {
class Algorithm;
}
