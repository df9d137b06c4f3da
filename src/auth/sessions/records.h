/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of session recordings, data_dir/log/records/<session id>.rec. All functions block and run on the thread pool.
 *
 * A file is a prefix of the container that the node has, checked chunk by chunk as it grows. Acknowledged bytes are
 * durable. After a crash, the bytes behind the last whole chunk (a part of the next one, or zeros) are cut at the next
 * open, and the node sends them again. Any other change is damage: nothing is cut, the file is renamed to <session
 * id>.damaged-1 (2, 3 …), and the node sends the whole recording again, into a new file.
 */
#ifndef AUTH_SESSIONS_RECORDS_H
#define AUTH_SESSIONS_RECORDS_H

#include "base/buf.h"
#include "recording/recording.h"

/* A recording that is being received. The owner may read the fields. */
struct record_file {
        int fd; /* -1: not open */
        uint64_t size; /* durable bytes */
        struct recording_check check;
        struct recording_chain chain;
        struct recording_check written_check; /* of what is written and not synced */
};

/* The state of a recording as last written to the store. */
struct record_mark {
        uint64_t size;     /* if digest is known: bytes of whole chunks */
        struct str digest; /* link of the chain at `size`; empty: not known */
        struct str first;  /* link of chunk 0; empty: not known */
};

/*
 * Opens or creates the file in dir, which is created too, and reads it. session_id has passed name_is_session(). The
 * file must agree with the state in the store and consist of valid chunks: otherwise it is set aside, *ret_was_altered
 * is set, and the node, which keeps a recording until it is finished, sends all of it again. RESOURCE_EXHAUSTED when
 * the disk is full, or when LIMIT_RECORDINGS_SET_ASIDE of this session were set aside before.
 */
struct error *record_file_open(const char *dir, struct str session_id, const struct record_mark *noted, struct record_file *ret,
                               bool *ret_was_altered) MUST_USE;

/* The number of files of this session that were set aside as damaged. */
unsigned record_file_count_set_aside(const char *dir, struct str session_id);

/*
 * Appends in two steps, so that many files can be written before the first is synced: the bytes are durable, and count,
 * when record_file_sync() has returned for the same bytes. DATA_LOSS when they are not a valid continuation of the
 * recording, RESOURCE_EXHAUSTED beyond LIMIT_RECORDING_MIB or when the disk has less than LIMIT_RECORDS_FREE_MIB left:
 * nothing was appended then.
 */
struct error *record_file_write(struct record_file *f, struct str bytes) MUST_USE;
struct error *record_file_sync(struct record_file *f, struct str bytes) MUST_USE;

/* Cuts the bytes behind the last whole chunk; to be called when no further bytes follow. */
struct error *record_file_cut(struct record_file *f) MUST_USE;

void record_file_release(struct record_file *f);

/*
 * Up to `most` bytes from offset on into out; *ret_size is the size of the file. NOT_FOUND: the recording has no file.
 * set_aside 0 means the recording, 1 and more a file that was set aside.
 */
struct error *record_file_read(const char *dir, struct str session_id, unsigned set_aside, uint64_t offset, size_t most, struct buf *out,
                               uint64_t *ret_size) MUST_USE;

enum record_state {
        RECORD_SOUND,
        RECORD_MISSING,
        RECORD_SHORT,
        RECORD_LONG,
        RECORD_ALTERED,
        RECORD_UNREADABLE, /* a link, no file, or one that the process may not read */
        RECORD_UNREAD,     /* no damage found, but not read completely */
};

/* Attributes of a file when all of it was last compared; zeros: never. A file with the same stamp has the same bytes. */
struct record_stamp {
        uint64_t device, inode, size;
        int64_t modified, changed; /* nanoseconds since 1970 */
};

/*
 * Compares the size and first chunk of a file with the state in the store. is_growing: the file may be longer.
 */
enum record_state record_file_compare(const char *dir, struct str session_id, const struct record_mark *noted, bool is_growing);

/*
 * The same for a finished recording; then compares the whole file with noted->digest, unless its stamp is *stamp. Reads
 * nothing of a file of more than `most` bytes: RECORD_UNREAD. *stamp is set to the stamp of an undamaged file, or to
 * zeros (also for a file changed within the last second). *ret_read is the number of bytes read.
 */
enum record_state record_file_compare_all(const char *dir, struct str session_id, const struct record_mark *noted, uint64_t most,
                                          struct record_stamp *stamp, uint64_t *ret_read);

/*
 * Cache of stamps of undamaged recordings, with LIMIT_RECORDINGS_COMPARED entries. Zeroed is empty;
 * record_stamps_release frees.
 */
struct record_stamps {
        struct record_stamp_slot *slots;
};
void record_stamps_get(const struct record_stamps *s, struct str session_id, struct str digest, struct record_stamp *ret);
void record_stamps_put(struct record_stamps *s, struct str session_id, struct str digest, const struct record_stamp *stamp);
void record_stamps_release(struct record_stamps *s);

/* The name of a state as listings show it; "" for RECORD_SOUND. */
const char *record_state_name(enum record_state state);

#endif
