/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotations of the CAs, as the signer performs them: a step on request, checked against the phase it has on its own disk.
 *
 * From the phase init on there is a second CA of the type, in the journal (ca_journal.h). When the new CA stays alone, its keys
 * replace the files of the old one, whose private keys are gone then; until all files are written the journal keeps the new keys,
 * and the next start writes the rest.
 *
 * A step may be requested again. A step from another phase, or of another rotation than the one in progress, is refused: the keys
 * of a CA are never dropped by a step that auth repeats or mixes up.
 */
#ifndef SIGNER_ROTATION_H
#define SIGNER_ROTATION_H

#include "pki/ca_phase.h"
#include "signer/authorities.h"
#include "signer/ca_journal.h"

enum { ROTATION_ID = 36, CA_FILES = 3 };

struct ca_rotation {
        enum ca_phase phase;
        char id[ROTATION_ID + 1]; /* of the rotation in progress, or of the last one; "": there was none */
        struct ca_keys next;      /* the new CA, unless the phase is CA_STANDBY */
        struct ca_keys current;   /* the CA whose files are not all written yet */
};

struct rotations {
        struct ca_journal journal;
        struct ca_rotation all[AUTHORITY_COUNT];
        int files[AUTHORITY_COUNT][CA_FILES]; /* descriptors of the CA's files; 0: not open */
};

/* Reads the journal and finishes the files of a rotation that was interrupted. To be called before authorities_load_from(). */
struct error *rotations_open(struct rotations *r, const char *dir) MUST_USE;
/* Checks the journal of a CA that no process has open, and the keys in it; changes nothing. */
struct error *rotations_check(const char *dir, struct str cluster) MUST_USE;

/* Adds the new CAs to `as`, and opens the files of the CAs for later steps. */
struct error *rotations_load(struct rotations *r, struct authorities *as, const char *dir) MUST_USE;
void rotations_release(struct rotations *r);

/*
 * Takes a step; `t` is for a new CA. INVALID_ARGUMENT for a malformed ID, FAILED_PRECONDITION for a step that is not permitted. DATA_LOSS: whether the
 * step was taken is known only after a restart, so the process must end.
 */
struct error *rotations_step(struct rotations *r, struct authorities *as, enum authority_type type, struct str id, enum ca_phase phase,
                             const struct ca_template *t) MUST_USE;

/* The CA that signs certificates of clients, or of servers. */
struct authority *rotations_signing(const struct rotations *r, struct authorities *as, enum authority_type type, bool is_server);

#endif
