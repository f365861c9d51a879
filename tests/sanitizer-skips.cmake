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
  "stepping is about the instructions that are delivered; with ThreadSanitizer's in their place a put \
has not come to its end after ten million, and why is not known yet; kills_test runs the same there")
