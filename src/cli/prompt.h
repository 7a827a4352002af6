// Moved: see io/prompt.h.
#pragma once
#include "io/prompt.h"
