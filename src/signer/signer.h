/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signer: the only process that has the CA private keys. It has no network and no store, serves typed requests on
 * one socketpair, applies its own policy, and logs every certificate.
 */
#ifndef SIGNER_SIGNER_H
#define SIGNER_SIGNER_H

#include "base/error.h"
#include "pki/key.h"

/*
 * Runs until the other end closes. data_dir: keys are in data_dir/ca, the log of issued certificates is
 * data_dir/ca/issued.log. token_key: of a CA jwt that is made (authorities.h). fd: the socketpair to auth. ready is called once when
 * serving.
 */
struct error *signer_main(const char *data_dir, enum key_kind token_key, int fd, void (*ready)(void *ctx), void *ctx) MUST_USE;

#endif
