// Everything a program needs to share memory across cells. See docs/architecture.md.
#pragma once

#include <hive/error.h>
#include <hive/file.h>
#include <hive/heap.h>
#include <hive/lock.h>
#include <hive/mapping.h>
#include <hive/news.h>
#include <hive/ring.h>
#include <hive/segment.h>
#include <hive/session.h>
#include <hive/shareable.h>
#include <hive/sync.h>
#include <hive/versioned.h>
#include <hive/view.h>
#include <hive/window.h>
