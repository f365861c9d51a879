# What a build with a sanitizer cannot run, by name, and why. Everything else runs.
#
#   hive_sanitizer_skip(address,thread TEST "reason")
#
# TEST is a name as ctest lists it. It is listed as disabled in those builds.

hive_sanitizer_skip(address,thread ProgramSignals.AHandlerPutOverHivesByOtherMeansStaysAndNeverLoops
  "it puts a handler into Linux behind the sanitizer, whose own copy of it is then wrong")
hive_sanitizer_skip(thread ForkTest.AChildMadeWithoutPthreadAtforkIsKnownToo
  "ThreadSanitizer does not know of a process that a bare system call has made")
hive_sanitizer_skip(address,thread install_consumer_test
  "in a program built without it, the sanitizer's sigaction() comes before libhive's")
hive_sanitizer_skip(address,thread install_package_test
  "nobody makes packages of a build with a sanitizer")
hive_sanitizer_skip(thread steps_test
  "ThreadSanitizer looks at each byte of a copy by itself: a put has so many steps that to kill it after \
each of some takes hours; and it is the instructions that are delivered which count")
