/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where OpenSSL's way of failing becomes ours.
 */
#ifndef PKI_OPENSSL_H
#define PKI_OPENSSL_H

#include "base/error.h"

/*
 * An error with OpenSSL's first reason as its cause, and an empty error queue: nothing may be left
 * there for the next call to find. Its texts are OpenSSL's own, never a peer's.
 */
#define openssl_error(code, ...) openssl_error_at(error_new(code, __VA_ARGS__))
struct error *openssl_error_at(struct error *err) MUST_USE;

#endif
