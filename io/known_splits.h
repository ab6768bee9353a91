// Well-known data sets, as they are published: videos beside files that say which of them are for what.
#pragma once

#include <optional>

#include "io/dataset.h"

namespace engine {

// `path` may be a folder that holds such files, in itself or in a folder whose name has "split", "list" or "annotation"
// in it, or one of the files:
//   UCF101   trainlist01.txt (`Class/v_Class_g08_c01.avi 1`, numbers from 1 by classInd.txt), testlist01.txt (paths);
//            the class is that of the number, or else of the folder; splits 01, 02, 03
//   HMDB51   CLASS_test_split1.txt (`video.avi N`; 1 for training, 2 for testing, 0 for neither); splits 1, 2, 3
//   Kinetics .csv with the columns youtube_id, time_start and time_end, and label and split where it has them. A video
//            is called ID_000010_000020.mp4 where it was cut out, or ID.mp4, of which the clip is the part between the
//            times. Rows without a label, and those whose video is not there, which is usual, are left out and counted.
// Videos are found by name, with any usual ending or as folders of images, anywhere below the folder; where it holds
// none, below its neighbours with "ucf", "hmdb", "kinetics" or "video" in their names. Where several have the name,
// that in the folder of the class is taken. Nothing where the path is none of these, lists are given by name, or the
// head is another than classification. Throws as open_splits(), and kUsage for a split_number that there is not.
std::optional<Splits> open_known_splits(const std::string& path, const SplitOptions& options);

}  // namespace engine
