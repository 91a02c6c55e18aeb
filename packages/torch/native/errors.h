// C++ exceptions as JavaScript errors.
#pragma once

#include <c10/util/Exception.h>
#include <napi.h>

#include <exception>
#include <string>

/** The first line of what libtorch says; the rest is a C++ backtrace. */
inline std::string firstLine(const std::exception& e) {
  std::string text = e.what();
  if (auto* error = dynamic_cast<const c10::Error*>(&e)) text = error->what_without_backtrace();
  return text.substr(0, text.find('\n'));
}

/** Runs what may throw a C++ exception and turns that into a JavaScript error. */
template <typename F>
auto throwingToJavaScript(Napi::Env env, F&& f) -> decltype(f()) {
  try {
    return f();
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception& e) {
    throw Napi::Error::New(env, firstLine(e));
  }
}
